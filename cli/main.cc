// berth: the command line of the API.
#include <signal.h>

#include <iostream>

#include "cli/program.h"

int main(int argc, char* argv[]) {
  ::signal(SIGPIPE, SIG_IGN);
  return berth::cli::RunProgram({argv + 1, argv + argc}, std::cout, std::cerr);
}
