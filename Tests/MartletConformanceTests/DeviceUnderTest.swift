// SPDX-License-Identifier: Apache-2.0

import MartletCPU
import MartletCompute
import MartletReference
import Testing

/// A device that the suite holds against the reference.
struct DeviceUnderTest: CustomTestStringConvertible, Sendable {
    let testDescription: String
    let make: @Sendable () throws -> any ComputeDevice

    /// Every kernel table of this machine, on one thread and on three; and the reference itself, which must at least agree
    /// with what it said before, row by row and in any mode.
    static let all: [DeviceUnderTest] =
        InstructionSet.available.flatMap { set in
            [1, 3].map { (threads: Int) in
                DeviceUnderTest(testDescription: "CPU \(set.rawValue), \(threads) threads") {
                    try CPUDevice(
                        threads: threads, instructionSet: set, activations: .int16, attentionSegmentLength: 64)
                }
            }
        } + [DeviceUnderTest(testDescription: "reference") { ReferenceDevice() }]
}
