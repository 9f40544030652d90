// SPDX-License-Identifier: Apache-2.0

extension BlockEncoder {
    /// Q4_K: eight sub-blocks, whose scales and minimums are six bits each of a factor.
    func encodeFourBitSuperBlock(_ values: UnsafeBufferPointer<Float>, to output: UnsafeMutableRawBufferPointer) {
        let parts = (0..<8).map { UnsafeBufferPointer(rebasing: values[$0 * 32..<$0 * 32 + 32]) }
        let fits = parts.map { Self.fitWithMinimum($0, codes: 15) }
        let scale = Float16((fits.map(\.scale).max() ?? 0) / 63)
        let minimum = Float16((fits.map(\.depth).max() ?? 0) / 63)
        output.storeBytes(of: scale.bitPattern, as: UInt16.self)
        output.storeBytes(of: minimum.bitPattern, toByteOffset: 2, as: UInt16.self)
        let scales = fits.map { Self.code($0.scale, over: Float(scale), in: 0...63) }
        let minimums = fits.map { Self.code($0.depth, over: Float(minimum), in: 0...63) }
        // Twelve bytes hold them: six bits of the first four each, above them two of the last four's, whose others follow.
        for part in 0..<4 {
            output[4 + part] = UInt8(scales[part] | (scales[part + 4] >> 4) << 6)
            output[8 + part] = UInt8(minimums[part] | (minimums[part + 4] >> 4) << 6)
            output[12 + part] = UInt8(scales[part + 4] & 15 | (minimums[part + 4] & 15) << 4)
        }
        for (number, part) in parts.enumerated() {
            let (step, depth) = (Float(scale) * Float(scales[number]), Float(minimum) * Float(minimums[number]))
            for (index, value) in part.enumerated() {
                let code = UInt8(Self.code(value + depth, over: step, in: 0...15))
                let at = 16 + number / 2 * 32 + index
                output[at] = number % 2 == 0 ? code : output[at] | code << 4
            }
        }
    }

    /// Q6_K: sixteen sub-blocks, whose scales are eight signed bits of a factor.
    func encodeSixBitSuperBlock(_ values: UnsafeBufferPointer<Float>, to output: UnsafeMutableRawBufferPointer) {
        let parts = (0..<16).map { UnsafeBufferPointer(rebasing: values[$0 * 16..<$0 * 16 + 16]) }
        let fits = parts.map(Self.fitSymmetrically)
        let peak = fits.max { $0.magnitude < $1.magnitude } ?? 0
        let scale = Float16(peak / -128)
        output.storeBytes(of: scale.bitPattern, toByteOffset: 208, as: UInt16.self)
        var codes = [Int](repeating: 0, count: 256)
        for (number, part) in parts.enumerated() {
            let own = Self.code(fits[number], over: Float(scale), in: -128...127)
            output[192 + number] = UInt8(bitPattern: Int8(own))
            let step = Float(scale) * Float(own)
            for (index, value) in part.enumerated() {
                codes[number * 16 + index] = Self.code(value, over: step, in: -32...31) + 32
            }
        }
        for half in 0..<2 {
            for index in 0..<32 {
                func code(_ quarter: Int) -> Int { codes[half * 128 + quarter * 32 + index] }
                output[half * 64 + index] = UInt8(code(0) & 15 | (code(2) & 15) << 4)
                output[half * 64 + 32 + index] = UInt8(code(1) & 15 | (code(3) & 15) << 4)
                let high = (0..<4).reduce(0) { $0 | (code($1) >> 4) << (2 * $1) }
                output[128 + half * 32 + index] = UInt8(high)
            }
        }
    }

    // MARK: Fits

    /// Scale and depth, neither negative, of `value = scale * code - depth` that fit some numbers best.
    ///
    /// Numbers count the more the larger they are: large ones move a product the most.
    private static func fitWithMinimum(
        _ values: UnsafeBufferPointer<Float>, codes: Int
    ) -> (scale: Float, depth: Float) {
        let (smallest, largest) = (min(values.min() ?? 0, 0), values.max() ?? 0)
        guard largest > smallest else { return (0, -smallest) }
        let meanSquare = values.reduce(0) { $0 + $1 * $1 } / Float(values.count)
        let level = meanSquare.squareRoot()
        func error(_ scale: Float, _ depth: Float) -> Float {
            values.reduce(0) { sum, value in
                let code = Self.code(value + depth, over: scale, in: 0...codes)
                let difference = scale * Float(code) - depth - value
                return sum + (level + value.magnitude) * difference * difference
            }
        }
        var best = (scale: (largest - smallest) / Float(codes), depth: -smallest)
        var least = error(best.scale, best.depth)
        for candidate in 0...20 {
            let step = (largest - smallest) / (Float(codes) - 1 + 0.1 * Float(candidate))
            // The sums of least squares over codes q and values x, each with its weight.
            var (w, wq, wqq, wx, wqx): (Float, Float, Float, Float, Float) = (0, 0, 0, 0, 0)
            for value in values {
                let q = Float(Self.code(value - smallest, over: step, in: 0...codes))
                let weight = level + value.magnitude
                w += weight
                wq += weight * q
                wqq += weight * q * q
                wx += weight * value
                wqx += weight * q * value
            }
            let determinant = w * wqq - wq * wq
            guard determinant > 0 else { continue }
            var scale = (w * wqx - wx * wq) / determinant
            var depth = (wq * wqx - wqq * wx) / determinant
            if depth < 0 { (scale, depth) = (wqx / wqq, 0) }
            guard scale > 0, scale.isFinite, depth.isFinite else { continue }
            let found = error(scale, depth)
            if found < least { (best, least) = ((scale, depth), found) }
        }
        return best
    }

    /// The scale, of either sign, of `value = scale * code` with codes in -32 ... 31 that fits some numbers best.
    private static func fitSymmetrically(_ values: UnsafeBufferPointer<Float>) -> Float {
        let peak = values.max { $0.magnitude < $1.magnitude } ?? 0
        guard peak != 0 else { return 0 }
        var (best, most): (Float, Float) = (peak / -32, 0)
        for candidate in -9...9 {
            let step = peak / -(32 + 0.1 * Float(candidate))
            var (products, squares): (Float, Float) = (0, 0)
            for value in values {
                let q = Float(Self.code(value, over: step, in: -32...31))
                products += value * value * value * q
                squares += value * value * q * q
            }
            // The larger, the smaller is the weighted error of the best scale for these codes.
            if squares > 0, products * products > most * squares {
                (best, most) = (products / squares, products * products / squares)
            }
        }
        return best
    }
}
