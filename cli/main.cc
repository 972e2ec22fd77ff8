// The program: one verb a file, errors as one line, exit codes as core/error.h says.
#include "pellucid/core/environment.h"
#include "pellucid/core/error.h"
#include "pellucid/core/stop.h"
#include "pellucid/core/text.h"
#include "pellucid/core/torch.h"

#include "cli/shortage.h"
#include "cli/terminal.h"
#include "cli/verbs.h"

#include <cstdio>
#include <cstdlib>
#include <sstream>

namespace pellucid::cli {
namespace {

int fail(const std::string& where, const std::string& message, int code) {
  constexpr std::size_t kLongest = 2000;  // whatever a file or an argument holds
  end_progress();
  std::fprintf(stderr, "pellucid%s: %s\n", where.c_str(), core::printable(message, kLongest).c_str());
  return code;
}

// The verb that was given, or the program itself.
const CLI::App& innermost(const CLI::App& app) {
  const auto given = app.get_subcommands();
  return given.empty() ? app : innermost(*given.front());
}

std::string verb_name(const CLI::App& app) {
  return app.get_parent() == nullptr ? "" : verb_name(*app.get_parent()) + " " + app.get_name();
}

// Says what is wrong with a command line, naming what was probably meant.
int explain_misuse(const CLI::App& app, const CLI::ParseError& error) {
  const CLI::App& verb = innermost(app);
  std::string message = error.what();
  std::string near;
  for (const auto& argument : verb.remaining()) {
    std::vector<std::string> names;
    if (argument.starts_with("-")) {
      for (const auto* option : verb.get_options())
        names.push_back(option->get_name(false, true).substr(0, option->get_name(false, true).find(',')));
      message = "unknown flag " + core::printable(argument.substr(0, argument.find('=')));
    } else {
      for (const auto* other : verb.get_subcommands(nullptr)) names.push_back(other->get_name());
      message = fmt::format("{} {}", names.empty() ? "unexpected argument" : "unknown verb", core::quoted(argument));
    }
    near = core::suggestion(argument.substr(0, argument.find('=')), names);
    break;
  }
  const std::string where = verb_name(verb);
  return fail(where, fmt::format("{}{}; see pellucid{} --help", message, near, where),
              core::exit_code(core::ErrorKind::kUsage));
}

// Runs the verb, or prints the help.
void parse(CLI::App& app, int argc, char** argv) {
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& help) {
    std::ostringstream text;
    app.exit(help, text, text);
    print(text.str());
  }
}

int fail_unexpectedly(const CLI::App& app, const std::string& message, const std::exception& error) {
  const std::string where = verb_name(innermost(app));
  if (is_shortage(error)) return fail(where, shortage_message(message), core::exit_code(core::ErrorKind::kIo));
  return fail(where, fmt::format("a bug of ours, please report it: {}", message),
              core::exit_code(core::ErrorKind::kInternal));
}

int run(int argc, char** argv) {
  prepare_streams();
  take_stack();
  catch_crash();
  catch_termination();
  core::catch_stop_signals();
  CLI::App app("Pellucid shows how much of a model's training data can be read back from the gradients it shares.",
               "pellucid");
  app.set_version_flag("--version", core::version());
  app.set_help_flag("-h,--help", "this help, or that of a verb");
  app.require_subcommand(1);
  app.get_formatter()->label("Subcommands", "Verbs");
  app.get_formatter()->label("SUBCOMMAND", "VERB");
  app.get_formatter()->column_width(34);
  app.footer(
      "\n`pellucid VERB --help` says more. Start with `pellucid demo`.\n"
      "Exit codes: 0 fine, 2 wrong usage, 3 bad data, model or I/O, 4 a bug of ours, 75 stopped and resumable.");
  add_demo(app);
  add_train(app);
  add_evade(app);
  add_capture(app);
  add_inspect(app);
  add_invert(app);
  add_imprint(app);
  add_study(app);
  add_report(app);
  add_privacy(app);
  add_aggregate(app);
  add_data(app);
  add_bench(app);
  add_list(app);
  add_explain(app);

  try {
    parse(app, argc, argv);
    finish_output();
    return 0;
  } catch (const CLI::ParseError& error) {
    return explain_misuse(app, error);
  } catch (const core::Error& error) {
    return fail(verb_name(innermost(app)), error.what(), core::exit_code(error.kind()));
  } catch (const c10::Error& error) {
    return fail_unexpectedly(app, fmt::format("libtorch: {}", error.what_without_backtrace()), error);
  } catch (const std::exception& error) {
    return fail_unexpectedly(app, error.what(), error);
  }
}

}  // namespace
}  // namespace pellucid::cli

int main(int argc, char** argv) {
  const int code = pellucid::cli::run(argc, argv);
  std::fflush(nullptr);
  std::_Exit(code);  // libtorch takes a fifth of a second to take itself down
}
