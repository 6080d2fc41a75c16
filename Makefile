# The front door. Each goal does the set-up that it needs by itself.
BUILD ?= build
# Seconds that `make fuzz` gives each target.
FUZZ_SECONDS ?= 60
# Possible losses are the stacks of DPDK's own threads, which live as long as the process.
VALGRIND = valgrind -q --leak-check=full --show-leak-kinds=definite --errors-for-leak-kinds=definite \
	--error-exitcode=99

.PHONY: all setup develop build test test-rxe demo perf asan ubsan tsan valgrind fuzz coverage format lint clean

all: build

setup:
	@scripts/setup

develop:
	@scripts/setup develop

$(BUILD)/build.ninja: | setup
	meson setup $(BUILD) --buildtype=release

build: $(BUILD)/build.ninja
	ninja -C $(BUILD)

# meson counts the skipped tests; why they were is said behind it. Without its packages the suite rxe is one of them.
test: build
	@scripts/setup rxe || true
	meson test -C $(BUILD) --print-errorlogs --no-rebuild --timeout-multiplier 3; status=$$?; \
	python3 scripts/test-summary $(BUILD)/meson-logs/testlog.json --skips; exit $$status

test-rxe: build
	@scripts/setup rxe
	meson test -C $(BUILD) --suite rxe --verbose --no-rebuild --timeout-multiplier 3

demo: build
	@scripts/demo

perf: build
	@perf/run $(BUILD)

asan: setup
	scripts/sanitize address,undefined build-asan

ubsan: setup
	scripts/sanitize undefined build-ubsan

tsan: setup
	scripts/sanitize thread build-tsan

valgrind: develop build
	meson test -C $(BUILD) --no-rebuild --print-errorlogs --timeout-multiplier 20 --suite unit --suite conform \
		--wrapper '$(VALGRIND)'

fuzz: develop
	scripts/fuzz build-fuzz $(FUZZ_SECONDS)

coverage: develop
	scripts/coverage build-coverage

lint: develop build
	scripts/lint $(BUILD)

format: develop
	git ls-files '*.[ch]' '*.[ch]pp' '*.inc' | xargs clang-format -i

clean:
	rm -rf build build-*
