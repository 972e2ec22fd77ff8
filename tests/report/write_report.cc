// write_report FOLDER: the page of a run folder, for browser_test.py.
#include "pellucid/core/error.h"
#include "pellucid/report/html.h"

#include <iostream>

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: write_report FOLDER\n";
    return 2;
  }
  try {
    std::cout << pellucid::report::write_report(argv[1]).string() << "\n";
  } catch (const pellucid::core::Error& error) {
    std::cerr << error.what() << "\n";
    return exit_code(error.kind());
  }
}
