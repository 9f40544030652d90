// SPDX-License-Identifier: Apache-2.0

/// Finds tokens by their bytes without allocating: a hash table with open addressing over one array of bytes.
struct TokenTable: Sendable {
    private var storage: [UInt8] = []
    /// Where each entry's bytes begin; one more at the end.
    private var offsets: [Int] = [0]
    /// The token of each entry.
    private var tokens: [Int32] = []
    /// Entries by hash; -1 is free. A power of two, at most half of it taken.
    private var slots: [Int32]

    init(capacity: Int) {
        var size = 16
        while size < 2 * capacity { size *= 2 }
        slots = Array(repeating: -1, count: size)
        tokens.reserveCapacity(capacity)
        offsets.reserveCapacity(capacity + 1)
    }

    /// Adds bytes unless they are there.
    mutating func insert(_ bytes: [UInt8], _ token: Int32) {
        if 2 * (tokens.count + 1) > slots.count { grow() }
        let slot = bytes[...].withUnsafeBufferPointer { slotIndex(of: $0) }
        guard slots[slot] < 0 else { return }
        slots[slot] = Int32(tokens.count)
        storage.append(contentsOf: bytes)
        offsets.append(storage.count)
        tokens.append(token)
    }

    func token(of bytes: ArraySlice<UInt8>) -> Int32? {
        bytes.withUnsafeBufferPointer { bytes in
            let entry = slots[slotIndex(of: bytes)]
            return entry < 0 ? nil : tokens[Int(entry)]
        }
    }

    private mutating func grow() {
        slots = Array(repeating: -1, count: slots.count * 2)
        for entry in tokens.indices {
            let slot = storage[offsets[entry]..<offsets[entry + 1]].withUnsafeBufferPointer { slotIndex(of: $0) }
            slots[slot] = Int32(entry)
        }
    }

    /// The slot that holds the bytes, or the free one where they belong.
    private func slotIndex(of bytes: UnsafeBufferPointer<UInt8>) -> Int {
        // Seeded anew in each process, so that no file can hold tokens that collide.
        var hasher = Hasher()
        hasher.combine(bytes: UnsafeRawBufferPointer(bytes))
        var slot = hasher.finalize() & (slots.count - 1)
        while slots[slot] >= 0 {
            let entry = Int(slots[slot])
            let range = offsets[entry]..<offsets[entry + 1]
            if range.count == bytes.count, storage[range].elementsEqual(bytes) { break }
            slot = (slot + 1) & (slots.count - 1)
        }
        return slot
    }
}
