# The two commands of the README. Everything else is CMake presets (CMakePresets.json).
.PHONY: build demo test asan fuzz setup setup-test clean

build: setup
	cmake --preset release
	cmake --build --preset release --target pellucid_cli
demo: build
	build/pellucid demo
# Unit, command-line, browser and training tests, then the sanitizer build and one minute of fuzzing.
test: setup-test
	tools/test
asan fuzz: setup-test
	tools/test $@
setup:
	tools/setup
setup-test:
	tools/setup test
clean:
	rm -rf build build-asan build-fuzz
