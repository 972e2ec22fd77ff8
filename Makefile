# The two commands of the README. Everything else is CMake presets (CMakePresets.json).
.PHONY: build demo test sanitize setup setup-test clean

build: setup
	cmake --preset release
	cmake --build --preset release --target pellucid_cli
demo: build
	build/pellucid demo
# Unit, command-line, browser and training tests, and the unit tests and fuzz targets under the sanitizers.
test: setup-test
	tools/test
sanitize: setup-test
	tools/test $@
setup:
	tools/setup
setup-test:
	tools/setup test
clean:
	rm -rf build build-sanitize
