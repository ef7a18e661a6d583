#include "img/io.h"

#include <signal.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <sstream>

#include "block/blkdebug.h"
#include "block/options.h"
#include "img/object.h"

namespace berth::img {
namespace {

int Help(IoSession*, const Words& words) {
  if (words.size() == 1) {
    for (const IoCommand& command : IoCommands()) PrintIoUsage(command.name);
    fmt::print("\nUse 'help commandname' for extended help.\n");
    return 0;
  }
  if (FindIoCommand(words[1]) == nullptr) {
    fmt::print("command {} not found\n", words[1]);
    return EINVAL;
  }
  PrintIoUsage(words[1]);
  return 0;
}

int Quit(IoSession* session, const Words&) {
  session->quit = true;
  return 0;
}

int CloseImage(IoSession* session, const Words&) {
  session->Close();
  return 0;
}

int OpenImage(IoSession* session, const Words& words) {
  const auto options = ParseIoOptions(words, "snCro:ki:t:d:U");
  if (!options) return EINVAL;
  IoSession next;
  next.flags.writable = !options->Has('r');
  next.flags.force_share = options->Has('U');
  if (options->Has('n')) next.flags.direct = true;
  if (const auto mode = options->Value('t'); mode && !ParseCache(*mode, &next.flags)) {
    return Complain("Invalid cache option: {}", *mode), EINVAL;
  }
  if (session->image != nullptr) return Complain("file open already, try 'help close'"), EINVAL;
  std::string text;
  for (const auto& [letter, value] : options->values) {
    if (letter == 'o') text += (text.empty() ? "" : ",") + value;
  }
  if (options->rest.size() > 1 || (options->rest.empty() && text.empty()))
    return PrintIoUsage(words[0]), EINVAL;
  next.source = {.name = options->rest.empty() ? text : options->rest[0], .is_options = !text.empty()};
  if (!text.empty() && !options->rest.empty()) {
    std::string name = options->rest[0];
    for (size_t at = 0; (at = name.find(',', at)) != name.npos; at += 2) name.insert(at, 1, ',');
    next.source.name = text + ",file.filename=" + name;
  }
  if (!next.Open()) return EINVAL;
  session->source = next.source;
  session->flags = next.flags;
  session->image = std::move(next.image);
  return 0;
}

// The image is closed and opened again.
int Reopen(IoSession* session, const Words& words) {
  const auto options = ParseIoOptions(words, "c:o:rw");
  if (!options) return EINVAL;
  block::OpenFlags flags = session->flags;
  for (const auto& [letter, value] : options->values) {
    if (letter == 'c' && !ParseCache(value, &flags))
      return Complain("Invalid cache option: {}", value), EINVAL;
    if (letter == 'o')
      return Complain("Cannot change the option '{}'", value.substr(0, value.find('='))), EINVAL;
  }
  if (options->Has('r') && options->Has('w')) return Complain("Only one -r/-w option may be given"), EINVAL;
  if (!options->rest.empty()) return PrintIoUsage(words[0]), EINVAL;
  if (options->Has('r')) flags.writable = false;
  if (options->Has('w')) flags.writable = true;
  session->Close();
  session->flags = flags;
  return session->Open() ? 0 : EINVAL;
}

int FlushImage(IoSession* session, const Words&) {
  return PerformIo(session->image.get(), {.op = block::Op::kFlush});
}

int AioFlush(IoSession* session, const Words&) {
  session->AwaitRunning();
  return 0;
}

int Length(IoSession* session, const Words&) {
  fmt::print("{}\n", IoSizeText(static_cast<double>(session->image->size_bytes())));
  return 0;
}

int Sleep(IoSession*, const Words& words) {
  const auto milliseconds = block::ParseNumber(words[1]);
  if (!milliseconds) {
    fmt::print("{} is not a valid number\n", words[1]);
    return EINVAL;
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(*milliseconds));
  return 0;
}

int RaiseSignal(IoSession*, const Words& words) {
  const auto number = ParseIoNumber(words[1]);
  if (!number) return EINVAL;
  std::fflush(stdout);
  ::raise(static_cast<int>(*number));
  return 0;
}

// The image of the chain that can stop requests; null if there is none.
block::DebugImage* DebugOf(IoSession* session) {
  block::Image* image = session->image.get();
  while (auto* const format = dynamic_cast<block::FormatImage*>(image)) image = format->file();
  return dynamic_cast<block::DebugImage*>(image);
}

// `act` tells an errno value.
template <typename Act>
int WithDebug(IoSession* session, std::string_view what, Act act) {
  block::DebugImage* const debug = DebugOf(session);
  const int error = debug == nullptr ? EOPNOTSUPP : act(debug);
  if (error != 0) fmt::print("Could not {}: {}\n", what, std::strerror(error));
  return error;
}

int Break(IoSession* session, const Words& words) {
  return WithDebug(session, "set breakpoint", [&](block::DebugImage* debug) {
    debug->SetListener([](std::string_view text) {
      fmt::print("blkdebug: {}\n", text);
      std::fflush(stdout);
    });
    return debug->Break(words[1], words[2]);
  });
}

int Resume(IoSession* session, const Words& words) {
  return WithDebug(session, "resume request",
                   [&](block::DebugImage* debug) { return debug->Resume(words[1]); });
}

int RemoveBreak(IoSession* session, const Words& words) {
  return WithDebug(session, "remove breakpoint " + words[1],
                   [&](block::DebugImage* debug) { return debug->RemoveBreak(words[1]); });
}

int WaitBreak(IoSession* session, const Words& words) {
  return WithDebug(session, "wait for " + words[1], [&](block::DebugImage* debug) {
    debug->WaitBreak(words[1]);
    return 0;
  });
}

int Abort(IoSession*, const Words&) { std::abort(); }

constexpr IoCommand kCommands[] = {
    {"abort", Abort, 0, 0, "", "simulate a program crash using abort(3)", false},
    {"aio_flush", AioFlush, 0, 0, "", "completes all outstanding aio requests"},
    {"aio_read", IoAioRead, 2, -1, "[-Ciqv] [-P pattern] off len [len..]",
     "asynchronously reads a number of bytes"},
    {"aio_write", IoAioWrite, 2, -1, "[-Cfiquz] [-P pattern] off len [len..]",
     "asynchronously writes a number of bytes", true, true},
    {"alloc", IoAlloc, 1, 2, "offset [count]", "checks if offset is allocated in the file"},
    {"break", Break, 2, 2, "event tag", "sets a breakpoint on event and tags the stopped request as tag"},
    {"close", CloseImage, 0, 0, "", "close the current open file"},
    {"discard", IoDiscard, 2, -1, "[-Cq] off len", "discards a number of bytes at a specified offset", true,
     true},
    {"flush", FlushImage, 0, 0, "", "flush all in-core file state to disk"},
    {"help", Help, 0, 1, "[command]", "help for one or all commands", false},
    {"info", IoInfo, 0, 0, "", "prints information about the current file"},
    {"length", Length, 0, 0, "", "gets the length of the current file"},
    {"map", IoMap, 0, 1, "", "prints the allocated areas of a file"},
    {"open", OpenImage, 1, -1, "[-rsCnkU] [-t cache] [-d discard] [-o options] [path]",
     "open the file specified by path", false},
    {"quit", Quit, 0, 0, "", "exit the program", false},
    {"read", IoRead, 2, -1, "[-abCqv] [-P pattern [-s off] [-l len]] off len",
     "reads a number of bytes at a specified offset"},
    {"readv", IoReadv, 2, -1, "[-Cqv] [-P pattern] off len [len..]",
     "reads a number of bytes at a specified offset"},
    {"remove_break", RemoveBreak, 1, 1, "tag", "remove a breakpoint by tag"},
    {"reopen", Reopen, 0, -1, "[(-r|-w)] [-c cache] [-o options]", "reopens an image with new options"},
    {"resume", Resume, 1, 1, "tag", "resumes the request tagged as tag"},
    {"sigraise", RaiseSignal, 1, 1, "signal", "raises a signal", false},
    {"sleep", Sleep, 1, 1, "", "waits for the given value in milliseconds", false},
    {"truncate", IoTruncate, 1, 3, "[-m prealloc_mode] off", "truncates the current file at the given offset",
     true, true},
    {"wait_break", WaitBreak, 1, 1, "tag", "waits for the suspension of a request"},
    {"write", IoWrite, 2, -1, "[-bcCfnquz] [-P pattern | -s source_file] off len",
     "writes a number of bytes at a specified offset", true, true},
    {"writev", IoWritev, 2, -1, "[-Cfq] [-P pattern] off len [len..]",
     "writes a number of bytes at a specified offset", true, true},
};

int RefuseCount(const IoCommand& command, int given) {
  std::fflush(stdout);
  fmt::print(stderr, "bad argument count {} to {}, expected ", given, command.name);
  if (command.most == -1) {
    fmt::print(stderr, "at least {} arguments\n", command.least);
  } else if (command.least == command.most) {
    fmt::print(stderr, "{} arguments\n", command.least);
  } else {
    fmt::print(stderr, "between {} and {} arguments\n", command.least, command.most);
  }
  return EINVAL;
}

int RunLine(IoSession* session, const std::string& line) {
  std::istringstream stream(line);
  Words words;
  for (std::string word; stream >> word;) words.push_back(word);
  if (words.empty()) return 0;
  const IoCommand* const command = FindIoCommand(words[0]);
  if (command == nullptr) {
    std::fflush(stdout);
    fmt::print(stderr, "command \"{}\" not found\n", words[0]);
    return EINVAL;
  }
  if (command->needs_image && session->image == nullptr) {
    std::fflush(stdout);
    fmt::print(stderr, "no file open, try 'help open'\n");
    return EINVAL;
  }
  const int given = static_cast<int>(words.size()) - 1;
  if (given < command->least || (command->most != -1 && given > command->most))
    return RefuseCount(*command, given);
  if (command->writes && session->image->limits().read_only) {
    Complain("Block node is read-only");
    return EINVAL;
  }
  return command->run(session, words);
}

constexpr std::string_view kHelp = R"(Reads and writes a disk image, command by command.

  -c, --cmd COMMAND     do this (any number of times); without it commands are read from standard input
  -f, --format FORMAT   of the image                -r, --read-only      open it for reading only
  -n, --nocache         as -t none                  -t, --cache MODE     none, writeback, writethrough, …
  -d, --discard MODE    ignore or unmap             -U, --force-share    even if others write to it
  -i, --aio MODE        chosen by itself            --image-opts         the file is a list of options
  --object TYPE,id=ID   what options refer to       -h, --help           -V, --version

'io -c help' lists the commands.
)";

[[noreturn]] void Usage(int status) {
  fmt::print("usage: {} [options] [-c COMMAND]... [FILE]\n{}", ProgramName(), kHelp);
  std::fflush(stdout);
  std::exit(status);
}

enum LongIoOption : int { kObject = 1000, kImageOpts };
const option kLongOptions[] = {{"help", no_argument, nullptr, 'h'},
                               {"version", no_argument, nullptr, 'V'},
                               {"cmd", required_argument, nullptr, 'c'},
                               {"format", required_argument, nullptr, 'f'},
                               {"read-only", no_argument, nullptr, 'r'},
                               {"snapshot", no_argument, nullptr, 's'},
                               {"nocache", no_argument, nullptr, 'n'},
                               {"copy-on-read", no_argument, nullptr, 'C'},
                               {"misalign", no_argument, nullptr, 'm'},
                               {"native-aio", no_argument, nullptr, 'k'},
                               {"aio", required_argument, nullptr, 'i'},
                               {"discard", required_argument, nullptr, 'd'},
                               {"cache", required_argument, nullptr, 't'},
                               {"trace", required_argument, nullptr, 'T'},
                               {"force-share", no_argument, nullptr, 'U'},
                               {"object", required_argument, nullptr, kObject},
                               {"image-opts", no_argument, nullptr, kImageOpts},
                               {}};

int RunStandardInput(IoSession* session) {
  int failed = 0;
  std::string line;
  while (!session->quit) {
    fmt::print("qemu-io> ");
    std::fflush(stdout);
    if (!std::getline(std::cin, line)) break;
    if (RunLine(session, line) != 0) failed = 1;
  }
  return failed;
}

}  // namespace

std::span<const IoCommand> IoCommands() { return kCommands; }

const IoCommand* FindIoCommand(std::string_view name) {
  for (const IoCommand& command : kCommands) {
    if (command.name == name) return &command;
  }
  return nullptr;
}

void PrintIoUsage(std::string_view name) {
  const IoCommand* const command = FindIoCommand(name);
  const bool takes_some = command->most != 0 || !command->arguments.empty();
  fmt::print("{} {}{}-- {}\n", name, command->arguments, takes_some ? " " : "", command->help);
}

bool IoSession::Open() {
  auto opened = OpenQuietly(source, flags);
  if (opened) {
    image = *std::move(opened);
    return true;
  }
  Complain("can't open{}{}: {}", source.is_options ? "" : " device ", source.is_options ? "" : source.name,
           opened.error().message());
  return false;
}

void IoSession::AwaitRunning() {
  for (std::thread& thread : running) thread.join();
  running.clear();
}

void IoSession::Close() {
  AwaitRunning();
  image.reset();
}

int Io(int argc, char** argv) {
  IoSession session;
  session.flags.writable = true;
  std::vector<std::string> lines;
  ::optind = 1;
  int found = 0;
  while ((found = ::getopt_long(argc, argv, "hVc:d:f:rsnCmki:t:T:U", kLongOptions, nullptr)) != -1) {
    switch (found) {
      case 'c':
        lines.emplace_back(::optarg);
        break;
      case 'd':
        if (const std::string_view mode(::optarg); mode == "unmap" || mode == "on") {
          session.flags.discard_unmap = true;
        } else if (mode != "ignore" && mode != "off") {
          return Complain("Invalid discard option: {}", ::optarg), 1;
        }
        break;
      case 'f':
        session.source.format = ::optarg;
        break;
      case 'r':
        session.flags.writable = false;
        break;
      case 'n':
        session.flags.direct = true;
        break;
      case 't':
        if (!ParseCache(::optarg, &session.flags)) return Complain("Invalid cache option: {}", ::optarg), 1;
        break;
      case 'i':
        if (const std::string_view mode(::optarg);
            mode != "threads" && mode != "native" && mode != "io_uring") {
          return Complain("Invalid aio option: {}", ::optarg), 1;
        }
        break;
      case 'U':
        session.flags.force_share = true;
        break;
      case 's':
        return Complain("temporary snapshots are not made: create an overlay and open that"), 1;
      case 'C':
      case 'm':
      case 'k':
      case 'T':
        break;
      case kObject:
        if (!DefineObject(::optarg)) return 1;
        break;
      case kImageOpts:
        session.source.is_options = true;
        break;
      case 'V':
        fmt::print("{} version {}\n", ProgramName(), Version());
        return 0;
      case 'h':
        Usage(0);
      default:
        Usage(1);
    }
  }
  if (argc - ::optind > 1) Usage(1);
  if (argc - ::optind == 1) {
    session.source.name = argv[::optind];
    if (session.flags.force_share && session.flags.writable) {
      return Complain("can't open device {}: force-share=on can only be used with read-only images",
                      session.source.name),
             1;
    }
    if (!session.Open()) return 1;
  }
  int failed = 0;
  for (const std::string& line : lines) {
    if (session.quit) break;
    if (RunLine(&session, line) != 0) failed = 1;
  }
  if (lines.empty()) failed = RunStandardInput(&session);
  session.Close();
  return failed;
}

}  // namespace berth::img
