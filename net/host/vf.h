// What a network card's physical function says of one of its VFs: MAC, VLAN, spoof check and so on, by
// rtnetlink (IFLA_VFINFO_LIST). Only what was asked for is touched, and only that is put back.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "base/error.h"
#include "host/pci_address.h"
#include "host/roots.h"
#include "net/host/mac_address.h"

namespace berth::net {

enum class VfLinkState : int { kAuto = 0, kEnable = 1, kDisable = 2 };  // IFLA_VF_LINK_STATE_*

struct VfVlan {
  int id = 0;             // 0: none; to 4095.
  int qos = 0;            // 0 to 7.
  int protocol = 0x8100;  // 802.1Q; 0x88a8 is 802.1ad.
  friend bool operator==(const VfVlan&, const VfVlan&) = default;
  template <typename Self, typename Visitor>
  static void VisitFields(Self& self, Visitor&& visit) {
    visit("id", self.id);
    visit("qos", self.qos);
    visit("protocol", self.protocol);
  }
};

struct VfRate {
  uint32_t min_mbps = 0, max_mbps = 0;  // 0: no limit.
  friend bool operator==(const VfRate&, const VfRate&) = default;
  template <typename Self, typename Visitor>
  static void VisitFields(Self& self, Visitor&& visit) {
    visit("min_mbps", self.min_mbps);
    visit("max_mbps", self.max_mbps);
  }
};

// An absent field is left alone when settings are applied, and unknown when they are read.
struct VfSettings {
  std::optional<std::string> mac;  // "52:54:00:12:34:56"; all zeros: none set.
  std::optional<VfVlan> vlan;
  std::optional<VfRate> rate;
  std::optional<bool> spoof_check;
  std::optional<bool> trust;
  std::optional<int> link_state;  // VfLinkState

  friend bool operator==(const VfSettings&, const VfSettings&) = default;
  template <typename Self, typename Visitor>
  static void VisitFields(Self& self, Visitor&& visit) {
    visit("mac", self.mac);
    visit("vlan", self.vlan);
    visit("rate", self.rate);
    visit("spoof_check", self.spoof_check);
    visit("trust", self.trust);
    visit("link_state", self.link_state);
  }
};

// Store it before ApplyVf.
struct VfChange {
  host::PciAddress physical_function;  // Not its interface's name: names move.
  int vf_index = 0;
  VfSettings wanted;
  VfSettings original;  // Of what is wanted.

  friend bool operator==(const VfChange&, const VfChange&) = default;
  template <typename Self, typename Visitor>
  static void VisitFields(Self& self, Visitor&& visit) {
    visit("physical_function", self.physical_function);
    visit("vf_index", self.vf_index);
    visit("wanted", self.wanted);
    visit("original", self.original);
  }
};

// The kernel's side of it; a seam for tests. Set changes what is present in `settings`, all of it in one
// message.
class VfPort {
 public:
  virtual ~VfPort() = default;
  virtual Result<VfSettings> Get(const std::string& interface, int vf_index) = 0;
  virtual Status Set(const std::string& interface, int vf_index, const VfSettings& settings) = 0;
};
std::unique_ptr<VfPort> CreateVfPort();  // Over rtnetlink, in the calling thread's network namespace.

// INVALID_ARGUMENT: BAD_MAC_ADDRESS, BAD_VLAN. NOT_FOUND, VF_NOT_FOUND. FAILED_PRECONDITION: NO_PF_INTERFACE
// (the physical function has no network driver); VF_SETTING_NOT_SUPPORTED (the driver does not tell a setting
// that is wanted).
Result<VfChange> PlanVf(const host::HostRoots& roots, VfPort& port, const host::PciAddress& physical_function,
                        int vf_index, const VfSettings& wanted);
// Sets one after the other (VLAN, MAC, rate, spoof check, trust, link state), reads back.
// FAILED_PRECONDITION, VF_SETTING_REFUSED, naming the setting; those set before are put back.
Status ApplyVf(const host::HostRoots& roots, VfPort& port, const VfChange& change);
// Puts the originals back, each on its own: a setting the driver refuses does not keep the others. Ok if the
// VF or the PF's interface is gone.
Status RestoreVf(const host::HostRoots& roots, VfPort& port, const VfChange& change);

}  // namespace berth::net
