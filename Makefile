# The front door. Each goal does the set-up that it needs by itself.
BUILD ?= build

.PHONY: all setup build test demo perf asan ubsan tsan fuzz format lint clean

all: build

setup:
	@scripts/setup

$(BUILD)/build.ninja: | setup
	meson setup $(BUILD) --buildtype=release

build: $(BUILD)/build.ninja
	ninja -C $(BUILD)

test: build
	meson test -C $(BUILD) --print-errorlogs --no-rebuild

asan: setup
	scripts/sanitize address,undefined build-asan

ubsan: setup
	scripts/sanitize undefined build-ubsan

tsan: setup
	scripts/sanitize thread build-tsan

format:
	git ls-files '*.[ch]' | xargs clang-format -i

clean:
	rm -rf build build-*
