// SPDX-License-Identifier: Apache-2.0

import MartletCompute

extension ReplayableRandom {
    /// True once in `count` times.
    mutating func oneIn(_ count: Int) -> Bool { Int.random(in: 0..<count, using: &self) == 0 }
}
