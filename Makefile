# Everything a person does here. `make run` and `make test` need nothing but the Swift toolchain and pip.

PROMPT ?= Why is the sky blue?
# Passed by the environment: a prompt is text, whatever quotes and backticks it holds.
export PROMPT
SWIFT ?= swift
# All of it is built in one folder, .build: what one command has compiled, the others don't compile again.
BUILD = $(SWIFT) build -c release
# Tests import nothing as testable, which would take a build of everything for them alone.
TEST = $(SWIFT) test -c release --disable-testable-imports
MODEL = Models/SmolLM2-135M-Instruct.Q4_1.gguf

.PHONY: run example test build dist install docs reference examples check-fragments integration soak model lint format sanitize sanitize-thread aarch64 clean

run: model ## Answer PROMPT with SmolLM2: the example Answer, which needs the library alone
	@echo "Building the library and the example that answers; the first time takes some minutes ..." >&2
	@$(BUILD) --package-path Examples/Answer --scratch-path .build --product Answer
	@.build/release/Answer $(MODEL) "$$PROMPT"

NAME ?= Chat
example: model ## Run the example NAME with SmolLM2: Answer, Batch, Chat, StreamingRoute
	@$(BUILD) --package-path Examples/$(NAME) --scratch-path .build --product $(NAME)
	@.build/release/$(NAME) $(MODEL)

test: model ## Build and run every test
	@echo "Building the rest, and the tests; the first time takes some minutes, most of them TLS and HTTP ..." >&2
	$(TEST)

build: ## Build the command .build/release/martlet
	@echo "Building the command; the first time takes some minutes, most of them TLS and HTTP ..." >&2
	$(BUILD) --product martlet

dist: build ## Put it into dist/martlet, with the standard library within: it runs where there is no Swift
	SWIFT=$(SWIFT) Scripts/link-static dist/martlet

PREFIX ?= /usr/local

# Without prerequisites: who installs is often not who builds.
install: ## Put what `make dist model` made into PREFIX/bin and PREFIX/share
	install -D --mode 755 dist/martlet $(DESTDIR)$(PREFIX)/bin/martlet
	install -D --mode 644 --target-directory $(DESTDIR)$(PREFIX)/share/martlet/Models $(MODEL)

docs: build ## Write the documents that are made from the program
	.build/release/martlet generate-documentation Docs

reference: ## Build the library's reference with DocC into .build/documentation
	Scripts/build-docs

examples: model ## Build and run every example once
	Scripts/check-examples

check-fragments: ## Build the documents' fragments as a user's package does, by path and by version
	Scripts/check-fragments path debug
	Scripts/check-fragments path release
	Scripts/check-fragments version debug
	Scripts/check-fragments version release

integration: model dist ## Run real clients against a real server; needs Python
	Tests/Integration/run dist/martlet

soak: model dist ## Hold 100 clients against a server for five minutes
	Tests/Integration/run dist/martlet soak

model: ## Fetch SmolLM2 into Models/, unless it is there
	@Scripts/fetch-model

lint: ## Check formatting
	$(SWIFT) format lint --strict --recursive --parallel Sources Tests Examples Benchmarks Package.swift

format: ## Format in place
	$(SWIFT) format --in-place --recursive --parallel Sources Tests Examples Benchmarks Package.swift

sanitize: ## Run the parsers' and kernels' tests under AddressSanitizer
	MARTLET_WITHOUT_NETWORK=1 ASAN_OPTIONS=detect_leaks=0 SWIFT_BACKTRACE=enable=no $(TEST) --scratch-path .build-asan \
	  --sanitize=address \
	  --filter 'MartletCheckpointsTests|MartletModelsTests|MartletTextTests|MartletComputeTests|MartletCPUTests|AttentionKernelTests|AttentionPlannerTests|AttentionCheckTests|ProgramConformanceTests|ExpertConformanceTests|SafetensorsTests|EngineRequestTests|EngineIsolationTests|EngineLifecycleTests|SamplingParameterTests|BlockPoolTests|DummyModelTests|GraphReplayTests|CPUGraphTests|ProgramReportTests'

# Sees pthread's locks and not the standard library's, so ours are pthread's here (Lock.swift).
sanitize-thread: ## Run the tests of threads under ThreadSanitizer
	MARTLET_WITHOUT_NETWORK=1 TSAN_OPTIONS=halt_on_error=1 SWIFT_BACKTRACE=enable=no $(TEST) \
	  --scratch-path .build-tsan -Xswiftc -DMARTLET_THREAD_SANITIZER --sanitize=thread \
	  --filter 'WorkerPoolTests|EngineIsolationTests|EngineLifecycleTests|PlanningAheadTests|LostDeviceTests|GraphReplayTests'

KERNELS = Sources/CMartletKernels
CLANG ?= clang

aarch64: ## Compile the kernels for 64-bit Arm and run their properties there, emulated; needs Debian's cross compiler and qemu
	rm -rf .build-aarch64 && mkdir -p .build-aarch64
	for source in $(KERNELS)/*.c Tests/KernelProperties/kernel_properties.c; do \
	  $(CLANG) --target=aarch64-linux-gnu -O2 -Wall -Werror -isystem /usr/aarch64-linux-gnu/include -I$(KERNELS)/include \
	    -c $$source -o .build-aarch64/$$(basename $$source .c).o || exit 1; \
	done
	aarch64-linux-gnu-gcc -static .build-aarch64/*.o -lm -o .build-aarch64/kernel_properties
	qemu-aarch64-static .build-aarch64/kernel_properties

clean: ## Remove what was built
	rm -rf dist .build .build-integration .build-asan .build-tsan .build-aarch64
