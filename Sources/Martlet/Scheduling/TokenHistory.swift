// SPDX-License-Identifier: Apache-2.0

package import MartletCompute

/// How often an answer holds each token that it or its prompt holds.
package final class TokenHistory {
    package private(set) var counts: [TokenCount]
    private var indices: [Int32: Int]

    init(prompt: [Int32], answerLength: Int) {
        counts = []
        indices = [:]
        counts.reserveCapacity(prompt.count + answerLength)
        indices.reserveCapacity(prompt.count + answerLength)
        for token in prompt where indices[token] == nil {
            indices[token] = counts.count
            counts.append(TokenCount(token: token, count: 0))
        }
    }

    func count(_ token: Int32) {
        if let index = indices[token] {
            counts[index].count += 1
        } else {
            indices[token] = counts.count
            counts.append(TokenCount(token: token, count: 1))
        }
    }
}
