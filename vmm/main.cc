// berth-vmm: one virtual machine. Started by berthd, which hands over everything it may use.

#include <iostream>

#include <boost/program_options.hpp>

#include "base/log.h"
#include "vmm/control_server.h"

namespace {

using namespace berth;

int Main(int control_fd) {
  Result<std::unique_ptr<EventLoop>> loop = EventLoop::Create();
  if (!loop) return LOG_ERROR("{}", loop.error().message()), 1;
  vmm::ControlServer server(loop->get());
  if (const Status served = server.Serve(UniqueFd(control_fd)); !served) {
    return LOG_ERROR("the control socket: {}", served.error().message()), 1;
  }
  (*loop)->Run();
  return server.exit_status();
}

}  // namespace

int main(int argc, char** argv) {
  namespace po = boost::program_options;
  int control_fd = 3;
  po::options_description options("berth-vmm runs one virtual machine for berthd");
  options.add_options()                                                                         //
      ("help,h", "print this")                                                                  //
      ("control-fd", po::value(&control_fd)->default_value(3), "the connected control socket")  //
      ("name", po::value<std::string>(), "the guest's name: only for lists of processes")       //
      ("uuid", po::value<std::string>(), "the guest's id: vendor vGPU managers look for it in this line");
  po::variables_map values;
  try {
    po::store(po::parse_command_line(
                  argc, argv, options,
                  po::command_line_style::default_style | po::command_line_style::allow_long_disguise),
              values);
    po::notify(values);
  } catch (const po::error& error) {
    std::cerr << "berth-vmm: " << error.what() << "\n";
    return 2;
  }
  if (values.contains("help")) {
    std::cout << options;
    return 0;
  }
  return Main(control_fd);
}
