#include "cli/program.h"

#include <algorithm>
#include <cstdlib>
#include <ostream>

#include "proto/error_details.h"

namespace berth::cli {
namespace {

namespace po = boost::program_options;

std::string Usage(const Command& command) {
  std::string usage = fmt::format("berth {} [OPTION...]", command.words);
  for (size_t i = 0; i < command.arguments.size(); ++i) {
    const bool required = i < command.required;
    usage += fmt::format(" {}{}{}", required ? "" : "[", command.arguments[i], required ? "" : "]");
  }
  return usage;
}

void PrintHelp(std::ostream& out) {
  out << "usage: berth COMMAND [OPTION...] [ARGUMENT...]\n\nGuests with real devices, on this host or "
         "another.\n\n";
  Table table({"COMMAND", "DOES"});
  for (const Command* command : Commands()) {
    std::string arguments;
    for (const std::string_view argument : command->arguments) arguments += fmt::format(" {}", argument);
    table.Add({fmt::format("  {}{}", command->words, arguments), std::string(command->summary)});
  }
  table.Print(out);
  out << "\n`berth COMMAND --help` lists a command's options.\n";
}

// An error as a person reads it, or as a program does.
void PrintError(std::ostream& err, const Error& error, bool json) {
  if (json) {
    err << ToJson(ToRpcStatus(error));
    return;
  }
  err << fmt::format("berth: {} ({}{}{})\n", Printable(error.message(), 4096), CodeName(error.code()),
                     error.reason().empty() ? "" : ", ", error.reason());
  if (!error.field().empty()) err << fmt::format("  at {}\n", Printable(error.field(), 256));
}

int UsageError(std::ostream& err, const std::string& message) {
  err << "berth: " << message << "\n";
  return kExitUsage;
}

}  // namespace

void CommonOptions::Describe(po::options_description& options) {
  if (const char* address = std::getenv("BERTH_SERVER"); address != nullptr) server.address = address;
  options.add_options()                                                                     //
      ("help,h", "this")                                                                    //
      ("output,o", po::value(&output)->default_value(output), "table, json, yaml or name")  //
      ("server", po::value(&server.address)->default_value(server.address),
       "unix:PATH or HOST:PORT; BERTH_SERVER in the environment sets it too")                           //
      ("tls-ca", po::value(&server.ca_path), "PEM file of the server's authority, for TCP")             //
      ("tls-certificate", po::value(&server.certificate_path), "PEM file of the caller's certificate")  //
      ("tls-key", po::value(&server.key_path), "PEM file of its key")                                   //
      ("timeout", po::value<int>()->default_value(60)->notifier([this](int value) {
        server.timeout = std::chrono::seconds(value);
      }),
       "seconds for a call");
}

const Command* FindCommand(const std::vector<std::string>& words, size_t* count) {
  const auto two = words.size() > 1 ? words[0] + " " + words[1] : "";
  for (const Command* command : Commands()) {
    *count = command->words.find(' ') == std::string_view::npos ? 1 : 2;
    if (!words.empty() && command->words == (*count == 1 ? words[0] : two)) return command;
  }
  return nullptr;
}

int RunProgram(const std::vector<std::string>& words, std::ostream& out, std::ostream& err) {
  if (words.empty() || words[0] == "help" || words[0] == "--help" || words[0] == "-h") {
    PrintHelp(words.empty() ? err : out);
    return words.empty() ? kExitUsage : 0;
  }
  if (words[0] == "version" || words[0] == "--version") {
    out << "berth " BERTH_VERSION "\n";
    return 0;
  }
  size_t count = 0;
  const Command* command = FindCommand(words, &count);
  if (command == nullptr) {
    return UsageError(err, fmt::format("no command \"{}{}\"; `berth help` lists them", words[0],
                                       words.size() > 1 && words[1][0] != '-' ? " " + words[1] : ""));
  }

  CommonOptions common;
  po::options_description options("Options");
  if (command->describe != nullptr) command->describe(options);
  common.Describe(options);
  po::options_description all;
  all.add(options).add_options()("argument", po::value<std::vector<std::string>>());
  po::variables_map values;
  try {
    po::store(po::command_line_parser(
                  std::vector<std::string>(words.begin() + static_cast<long>(count), words.end()))
                  .options(all)
                  .positional(po::positional_options_description().add("argument", -1))
                  .run(),
              values);
    if (values.count("help") != 0) {
      out << command->summary << ".\n\nusage: " << Usage(*command) << "\n\n" << options;
      return 0;
    }
    po::notify(values);
  } catch (const po::error& error) {
    return UsageError(err, fmt::format("{}\nusage: {}", error.what(), Usage(*command)));
  }
  std::vector<std::string> arguments;
  if (values.count("argument") != 0) arguments = values["argument"].as<std::vector<std::string>>();
  const bool any_number = !command->arguments.empty() && command->arguments.back().ends_with("...");
  if (arguments.size() < command->required || (arguments.size() > command->arguments.size() && !any_number)) {
    return UsageError(err, "usage: " + Usage(*command));
  }
  const Result<OutputFormat> format = ParseOutputFormat(common.output);
  if (!format) return UsageError(err, format.error().message());

  const bool json = *format == OutputFormat::kJson;
  const Result<Connection> connection = Connection::Create(common.server);
  if (!connection) return PrintError(err, connection.error(), json), kExitFailed;
  const Status done = command->run({*connection, *format, values, arguments, out, err});
  if (!done) return PrintError(err, done.error(), json), kExitFailed;
  return out.flush() ? 0 : kExitFailed;
}

}  // namespace berth::cli
