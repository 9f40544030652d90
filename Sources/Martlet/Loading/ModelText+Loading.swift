// SPDX-License-Identifier: Apache-2.0

import MartletText

extension ModelText {
    /// A model's own tokenizer and template, or the template that the options give.
    init(of source: any ModelSource, options: EngineOptions) throws {
        let tokenizer = try source.tokenizer().addingEndTokens(Set(options.endTokens))
        let (chatTemplate, fault) = try Self.chatTemplate(of: source, options: options)
        self.init(tokenizer: tokenizer, chatTemplate: chatTemplate, chatTemplateFault: fault)
    }

    /// The chat template that was asked for, or the model's own. What is wrong with the model's own disables it alone,
    /// and is said.
    private static func chatTemplate(
        of source: any ModelSource, options: EngineOptions
    ) throws -> (ChatTemplate?, TemplateError?) {
        var template: ChatTemplate?
        if let given = options.chatTemplate {
            template = try ChatTemplate(given, budget: options.templateBudget)
        } else if let own = try source.chatTemplateSource() {
            do throws(TemplateError) {
                template = try ChatTemplate(own, budget: options.templateBudget)
            } catch {
                options.logger.warning("the model's \(error); conversations are refused, plain prompts are answered")
                return (nil, error)
            }
        }
        for error in template?.missing ?? [] {
            options.logger.warning("\(error); conversations that need it are refused")
        }
        return (template, nil)
    }
}
