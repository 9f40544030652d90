// SPDX-License-Identifier: Apache-2.0

package import MartletCompute

/// How often an answer holds each token that it or its prompt holds.
package final class TokenHistory {
    package private(set) var counts: [TokenCount]
    private var places: [Int32: Int]

    init(prompt: [Int32], answerLength: Int) {
        counts = []
        places = [:]
        counts.reserveCapacity(prompt.count + answerLength)
        places.reserveCapacity(prompt.count + answerLength)
        for token in prompt where places[token] == nil {
            places[token] = counts.count
            counts.append(TokenCount(token: token, count: 0))
        }
    }

    func count(_ token: Int32) {
        if let place = places[token] {
            counts[place].count += 1
        } else {
            places[token] = counts.count
            counts.append(TokenCount(token: token, count: 1))
        }
    }
}
