#include "cli/follow.h"

namespace berth::cli {

void DescribeFollow(boost::program_options::options_description& options) {
  options.add_options()("count", boost::program_options::value<int>(), "end after so many messages");
}

}  // namespace berth::cli
