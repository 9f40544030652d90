// SPDX-License-Identifier: Apache-2.0

import MartletCPU
import Testing

@Suite struct FreeMemoryTests {
    @Test func readsWhatTheKernelSays() {
        let text = "MemTotal:       24000000 kB\nMemAvailable:   20000000 kB\nBuffers: 1 kB\n"
        #expect(FreeMemory.available(meminfo: text) == 20_480_000_000)
        for text in [
            "", "MemAvailable:", "MemAvailable: x kB", "MemAvailable: -5 kB", "MemAvailable: 9223372036854775807 kB",
        ] {
            #expect(FreeMemory.available(meminfo: text) == nil)
        }
        #expect(FreeMemory.groupName("0::/\n") == "")
        #expect(FreeMemory.groupName("0::/system.slice/x.service\n") == "/system.slice/x.service")
        #expect(FreeMemory.groupName("5:cpu:/a\n4:memory:/docker/b\n") == "/docker/b")
        #expect(FreeMemory.groupName("") == "")
        // Here and now.
        #expect(FreeMemory.byteCount ?? 0 > 1 << 20)
    }
}
