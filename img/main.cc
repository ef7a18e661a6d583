#include <cstdio>
#include <string_view>

#include "block/crypto/openssl.h"
#include "img/tool.h"

namespace berth::img {
namespace {

struct Command {
  std::string_view name;
  int (*run)(int argc, char** argv);
};
constexpr Command kCommands[] = {{"amend", Amend},       {"bench", RunBench}, {"bitmap", Bitmap},
                                 {"check", Check},       {"commit", Commit},  {"compare", Compare},
                                 {"convert", Convert},   {"create", Create},  {"dd", Dd},
                                 {"info", Info},         {"map", Map},        {"measure", Measure},
                                 {"rebase", Rebase},     {"resize", Resize},  {"serve", Serve},
                                 {"snapshot", Snapshot}, {"io", Io}};
// Programs whose names it answers to, each of them one command.
constexpr Command kPrograms[] = {{"qemu-nbd", Serve}, {"qemu-io", Io}};

int Run(int argc, char** argv) {
  SetProgramName(argv[0]);
  block::UseOpenSsl();
  for (const Command& program : kPrograms) {
    if (program.name == ProgramName()) return program.run(argc, argv);
  }
  if (argc < 2) RefuseArguments("Not enough arguments");
  const std::string_view name(argv[1]);
  if (name == "-h" || name == "--help") Help();
  if (name == "-V" || name == "--version") {
    fmt::print("{} version {}\n", ProgramName(), Version());
    return 0;
  }
  for (const Command& command : kCommands) {
    if (command.name == name) return command.run(argc - 1, argv + 1);
  }
  RefuseArguments(fmt::format("Command not found: {}", name));
}

}  // namespace
}  // namespace berth::img

int main(int argc, char** argv) {
  const int status = berth::img::Run(argc, argv);
  // What could not be printed was not said.
  return std::fflush(stdout) == 0 ? status : 1;
}
