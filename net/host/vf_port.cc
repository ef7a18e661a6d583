// VF settings over rtnetlink. Attribute layouts: <linux/if_link.h>, IFLA_VFINFO_LIST.
#include <linux/if_link.h>
#include <linux/rtnetlink.h>

#include <algorithm>
#include <cstring>

#include <net/if.h>
#include <netlink/attr.h>

#include "base/bytes.h"
#include "net/host/link.h"
#include "net/host/netlink.h"
#include "net/host/vf.h"

namespace berth::net {
namespace {

constexpr uint32_t kUnknown = ~uint32_t{0};  // How the kernel says that a driver does not tell a setting.

template <typename T>
std::optional<T> Load(const nlattr* attribute) {
  T value{};
  if (attribute == nullptr || ::nla_len(attribute) < static_cast<int>(sizeof(T))) return std::nullopt;
  std::memcpy(&value, ::nla_data(attribute), sizeof(T));
  return value;
}

std::optional<bool> Switch(uint32_t setting) {
  return setting == kUnknown ? std::nullopt : std::optional(setting != 0);
}

std::optional<VfVlan> ReadVlan(nlattr* const* attributes) {
  nlattr* const list = attributes[IFLA_VF_VLAN_LIST];
  if (list != nullptr && ::nla_len(list) > 0) {
    const auto* first = static_cast<const nlattr*>(::nla_data(list));
    if (::nla_ok(first, ::nla_len(list))) {
      if (const auto info = Load<ifla_vf_vlan_info>(first)) {
        return VfVlan{static_cast<int>(info->vlan), static_cast<int>(info->qos),
                      __builtin_bswap16(info->vlan_proto)};
      }
    }
  }
  const auto vlan = Load<ifla_vf_vlan>(attributes[IFLA_VF_VLAN]);
  if (!vlan) return std::nullopt;
  return VfVlan{static_cast<int>(vlan->vlan), static_cast<int>(vlan->qos)};
}

// The settings of one IFLA_VF_INFO, if it is of this VF.
std::optional<VfSettings> ReadVf(nlattr* info, uint32_t vf_index) {
  nlattr* attributes[IFLA_VF_MAX + 1];
  if (::nla_parse_nested(attributes, IFLA_VF_MAX, info, nullptr) < 0) return std::nullopt;
  const auto mac = Load<ifla_vf_mac>(attributes[IFLA_VF_MAC]);
  if (!mac || mac->vf != vf_index) return std::nullopt;
  VfSettings settings;
  MacAddress address;
  std::copy_n(mac->mac, address.bytes.size(), address.bytes.begin());
  settings.mac = address.ToString();
  settings.vlan = ReadVlan(attributes);
  if (const auto rate = Load<ifla_vf_rate>(attributes[IFLA_VF_RATE])) {
    settings.rate = VfRate{rate->min_tx_rate, rate->max_tx_rate};
  }
  if (const auto spoof = Load<ifla_vf_spoofchk>(attributes[IFLA_VF_SPOOFCHK])) {
    settings.spoof_check = Switch(spoof->setting);
  }
  if (const auto trust = Load<ifla_vf_trust>(attributes[IFLA_VF_TRUST]))
    settings.trust = Switch(trust->setting);
  if (const auto state = Load<ifla_vf_link_state>(attributes[IFLA_VF_LINK_STATE])) {
    settings.link_state = static_cast<int>(state->link_state);
  }
  return settings;
}

struct Search {
  uint32_t vf_index;
  std::optional<VfSettings> found;
};

int OnLink(nl_msg* message, void* argument) {
  auto& search = *static_cast<Search*>(argument);
  nlattr* attributes[IFLA_MAX + 1];
  if (::nlmsg_parse(::nlmsg_hdr(message), sizeof(ifinfomsg), attributes, IFLA_MAX, nullptr) < 0)
    return NL_SKIP;
  nlattr* const list = attributes[IFLA_VFINFO_LIST];
  if (list == nullptr) return NL_OK;
  int left = ::nla_len(list);
  for (auto* info = static_cast<nlattr*>(::nla_data(list)); ::nla_ok(info, left);
       info = ::nla_next(info, &left)) {
    if (auto settings = ReadVf(info, search.vf_index)) search.found = std::move(settings);
  }
  return NL_OK;
}

template <typename T>
int Put(nl_msg* message, int type, const T& value) {
  return ::nla_put(message, type, sizeof(value), &value);
}

int PutVlan(nl_msg* message, uint32_t vf, const VfVlan& vlan) {
  const auto id = static_cast<uint32_t>(vlan.id), qos = static_cast<uint32_t>(vlan.qos);
  if (vlan.protocol == 0x8100) return Put(message, IFLA_VF_VLAN, ifla_vf_vlan{vf, id, qos});
  nlattr* const list = ::nla_nest_start(message, IFLA_VF_VLAN_LIST);
  if (list == nullptr) return -NLE_NOMEM;
  const ifla_vf_vlan_info info{vf, id, qos, __builtin_bswap16(static_cast<uint16_t>(vlan.protocol))};
  const int error = Put(message, IFLA_VF_VLAN_INFO, info);
  ::nla_nest_end(message, list);
  return error;
}

// 0 or a negative libnl error.
int PutSettings(nl_msg* message, uint32_t vf, const VfSettings& settings) {
  int error = 0;
  const auto keep = [&](int result) {
    if (error == 0) error = result;
  };
  if (settings.vlan) keep(PutVlan(message, vf, *settings.vlan));
  if (settings.mac) {
    ifla_vf_mac mac{.vf = vf, .mac = {}};
    const MacAddress address = MacAddress::Parse(*settings.mac).value_or(MacAddress());
    std::copy(address.bytes.begin(), address.bytes.end(), mac.mac);
    keep(Put(message, IFLA_VF_MAC, mac));
  }
  if (settings.rate) {
    keep(Put(message, IFLA_VF_RATE, ifla_vf_rate{vf, settings.rate->min_mbps, settings.rate->max_mbps}));
  }
  if (settings.spoof_check) keep(Put(message, IFLA_VF_SPOOFCHK, ifla_vf_spoofchk{vf, *settings.spoof_check}));
  if (settings.trust) keep(Put(message, IFLA_VF_TRUST, ifla_vf_trust{vf, *settings.trust}));
  if (settings.link_state) {
    keep(Put(message, IFLA_VF_LINK_STATE,
             ifla_vf_link_state{vf, static_cast<uint32_t>(*settings.link_state)}));
  }
  return error;
}

class RtnetlinkVfPort final : public VfPort {
 public:
  Result<VfSettings> Get(const std::string& interface, int vf_index) override {
    const Link link = TRY(FindLink(interface));
    const NetlinkSocket socket = TRY(OpenRtnetlink());
    const NetlinkMessage message = NewMessage(RTM_GETLINK, NLM_F_REQUEST);
    ifinfomsg header{};
    header.ifi_index = link.index;
    int error = ::nlmsg_append(message.get(), &header, sizeof(header), NLMSG_ALIGNTO);
    if (error == 0) error = ::nla_put_u32(message.get(), IFLA_EXT_MASK, RTEXT_FILTER_VF);
    Search search{.vf_index = static_cast<uint32_t>(vf_index), .found = {}};
    ::nl_socket_modify_cb(socket.get(), NL_CB_VALID, NL_CB_CUSTOM, OnLink, &search);
    if (error == 0) error = ::nl_send_auto(socket.get(), message.get());
    if (error >= 0) error = ::nl_recvmsgs_default(socket.get());
    if (error < 0)
      return Fail(NetlinkError(error, fmt::format("ask {} for its virtual functions", interface)));
    if (search.found) return *std::move(search.found);
    return Fail(Error(Code::kNotFound, fmt::format("{} tells of no virtual function {}", interface, vf_index))
                    .Reason("VF_NOT_FOUND")
                    .With("interface", interface)
                    .With("vf", std::to_string(vf_index)));
  }

  Status Set(const std::string& interface, int vf_index, const VfSettings& settings) override {
    const Link link = TRY(FindLink(interface));
    const NetlinkSocket socket = TRY(OpenRtnetlink());
    NetlinkMessage message = NewMessage(RTM_SETLINK, NLM_F_REQUEST);
    ifinfomsg header{};
    header.ifi_index = link.index;
    int error = ::nlmsg_append(message.get(), &header, sizeof(header), NLMSG_ALIGNTO);
    nlattr* const list = ::nla_nest_start(message.get(), IFLA_VFINFO_LIST);
    nlattr* const info = ::nla_nest_start(message.get(), IFLA_VF_INFO);
    if (list == nullptr || info == nullptr) error = -NLE_NOMEM;
    if (error == 0) error = PutSettings(message.get(), static_cast<uint32_t>(vf_index), settings);
    if (error == 0) {
      ::nla_nest_end(message.get(), info);
      ::nla_nest_end(message.get(), list);
      error = ::nl_send_sync(socket.get(), message.release());  // Takes the message over.
    }
    if (error >= 0) return Ok();
    return Fail(NetlinkError(error, fmt::format("change virtual function {} of {}", vf_index, interface)));
  }
};

}  // namespace

std::unique_ptr<VfPort> CreateVfPort() { return std::make_unique<RtnetlinkVfPort>(); }

}  // namespace berth::net
