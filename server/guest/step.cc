#include "server/guest/step.h"

namespace berth::server {
namespace {

template <typename... Cases>
struct Match : Cases... {
  using Cases::operator()...;
};
template <typename... Cases>
Match(Cases...) -> Match<Cases...>;

std::string VfName(const host::PciAddress& physical_function, int index) {
  return fmt::format("{} VF {}", physical_function.ToString(), index);
}

}  // namespace

std::string KindOf(const Step& step) {
  static constexpr const char* kKinds[] = {"runtime-directory", "vfs", "vf-settings", "driver", "mdev",
                                           "vgpu-type",         "tap", "cgroup",      "process"};
  static_assert(std::variant_size_v<Step> == std::size(kKinds));
  return kKinds[step.index()];
}

std::string SubjectOf(const Step& step) {
  return std::visit(
      Match{[](const RuntimeDirectoryStep& s) { return s.path; },
            [](const VfsStep& s) { return s.physical_function.ToString(); },
            [](const VfSettingsStep& s) { return VfName(s.physical_function, s.vf_index); },
            [](const DriverStep& s) {
              return s.address ? s.address->ToString() : VfName(s.physical_function, s.vf_index);
            },
            [](const MdevStep& s) { return s.uuid; },
            [](const VgpuTypeStep& s) { return s.address.ToString(); },
            [](const TapStep& s) { return s.owner; }, [](const CgroupStep& s) { return s.guest; },
            [](const ProcessStep& s) { return std::to_string(s.pid); }},
      step);
}

bool IsShared(const std::string& kind) { return kind == "vfs"; }

}  // namespace berth::server
