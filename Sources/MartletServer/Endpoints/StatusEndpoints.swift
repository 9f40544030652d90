// SPDX-License-Identifier: Apache-2.0

import Hummingbird
import Martlet
import MartletJSON
import MartletText

/// What a server says of itself.
struct StatusEndpoints: Sendable {
    let server: ServerState

    /// Why no requests are served; nil where they are.
    private var unavailableReason: String? {
        server.text.isStuck ? "text_stuck" : server.served.unavailableReason
    }

    /// Whether requests are taken.
    func ready() -> Response {
        guard let reason = unavailableReason else { return Response(json: ["status": "ready"]) }
        var response = Response(status: .serviceUnavailable, json: ["status": .string(reason)])
        response.headers[.retryAfter] = "1"
        return response
    }

    func models() throws -> Response {
        let list = try server.modelNames.map(describe)
        return Response(json: ["object": "list", "data": .array(list)])
    }

    func model(named name: String) throws -> Response {
        Response(json: try describe(server.servedName(name)))
    }

    private func describe(_ name: String) throws -> JSONValue {
        let engine = try server.served.require()
        return [
            "id": .string(name), "object": "model", "created": .integer(server.created), "owned_by": "martlet",
            "root": .string(engine.model.name), "parent": nil, "max_model_len": .integer(engine.model.maxModelLength),
        ]
    }

    func version() -> Response {
        let limits = server.limits.all.map { JSONObject.Member(key: $0.name, value: .string($0.value)) }
        return Response(
            json: ["version": .string(server.version), "limits": .object(JSONObject(limits))])
    }

    func metrics() -> Response {
        let engine = server.served.current
        let labels = [(name: "model_name", value: server.modelNames.first ?? ""), (name: "engine", value: "0")]
        let text = PrometheusText(
            server.metrics.collect(
                engine?.statistics, engine?.model, isReady: unavailableReason == nil, stuckTexts: server.text.stuckCount
            ),
            common: labels
        ).text
        return Response(
            status: .ok, headers: [.contentType: "text/plain; version=0.0.4; charset=utf-8"],
            body: ResponseBody(byteBuffer: ByteBuffer(string: text)))
    }

    func page() -> Response {
        Response(
            status: .ok,
            headers: [
                .contentType: "text/html; charset=utf-8",
                .contentSecurityPolicy:
                    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
            ], body: ResponseBody(byteBuffer: ByteBuffer(bytes: PackageResources.index_html)))
    }
}
