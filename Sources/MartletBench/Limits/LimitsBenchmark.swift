// SPDX-License-Identifier: Apache-2.0

package import MartletCPU
import MartletCompute

/// What the machine could do while something was measured: medians.
package struct MachineLimits: Encodable, Sendable {
    /// Bytes a second, memory read in order.
    package let read: Double
    /// Operations a second from registers, a multiply and an add each counted.
    package let float32: Double
    package let bfloat16: Double
    package let int16: Double
    package let int8: Double
    /// What the kernels multiply matrices of floats as.
    package let floatMatrixProduct: CPUDevice.Product
    /// Its limit.
    var floatMatrices: Double { floatMatrixProduct == .int16 ? int16 : bfloat16 }

    package init(
        read: Double, float32: Double, bfloat16: Double, int16: Double, int8: Double,
        floatMatrixProduct: CPUDevice.Product
    ) {
        self.read = read
        self.float32 = float32
        self.bfloat16 = bfloat16
        self.int16 = int16
        self.int8 = int8
        self.floatMatrixProduct = floatMatrixProduct
    }

    private enum CodingKeys: String, CodingKey {
        case read = "read_bytes_per_s"
        case float32 = "float32_ops_per_s"
        case bfloat16 = "bfloat16_ops_per_s"
        case int16 = "int16_ops_per_s"
        case int8 = "int8_ops_per_s"
        case floatMatrixProduct = "float_matrix_product"
    }
}

/// Takes the machine's limits with the threads and the kind of memory that kernels use. To be sampled in turn with
/// whatever is measured against them: a shared machine's limits change within seconds.
package final class LimitsBenchmark {
    /// Whose threads, kernels and memory are measured.
    package let device: CPUDevice
    private let memory: ReadableMemory
    private var read = Timings()
    private var products: [CPUDevice.Product: Timings] = [:]
    private var operations: [CPUDevice.Product: Int] = [:]

    /// More than most machines' caches give a process, so that it is the memory that is read.
    package static let byteCount = 256 << 20
    /// About a millisecond of products, or a few.
    private static let repetitions = 1 << 16

    /// - Parameter byteCount: how much memory is read for a sample.
    package init(on device: CPUDevice, byteCount: Int = LimitsBenchmark.byteCount) throws {
        self.device = device
        memory = try device.makeReadableMemory(byteCount: byteCount)
    }

    /// - Parameter threads: nil for one a processor.
    package convenience init(threads: Int?) throws { try self.init(on: CPUDevice(threads: threads)) }

    /// Takes each limit once.
    package func sample() {
        // Outside of the measurement threads wake up, and the system moves those that woke on one processor apart.
        let end = ContinuousClock.now + .milliseconds(30)
        repeat { _ = device.multiply(.float32, repetitions: Self.repetitions) } while ContinuousClock.now < end
        read.measure { device.read(memory) }
        for product in CPUDevice.Product.allCases {
            operations[product] = products[product, default: Timings()].measure {
                device.multiply(product, repetitions: Self.repetitions)
            }
        }
    }

    /// Takes them again and again for a while, at least once.
    package func sample(for duration: Duration) {
        let end = ContinuousClock.now + duration
        repeat { sample() } while ContinuousClock.now < end
    }

    /// Rates of all samples: bytes or operations a second.
    package var readRates: Timings { read.inverted(times: Double(memory.byteCount)) }

    /// Operations a second, a multiply and an add each counted.
    package func rates(of product: CPUDevice.Product) -> Timings {
        (products[product] ?? Timings()).inverted(times: Double(operations[product] ?? 0))
    }

    /// Medians of all samples; NaN of none.
    package var limits: MachineLimits {
        MachineLimits(
            read: readRates.median, float32: rates(of: .float32).median, bfloat16: rates(of: .bfloat16).median,
            int16: rates(of: .int16).median, int8: rates(of: .int8).median,
            floatMatrixProduct: device.instructionSet.floatMatrixProduct)
    }
}

extension Timings {
    /// What a second holds where `amount` took each of the times.
    fileprivate func inverted(times amount: Double) -> Timings {
        var result = Timings()
        for time in seconds { result.append(amount / time) }
        return result
    }
}
