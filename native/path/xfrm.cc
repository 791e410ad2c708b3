#include "path/xfrm.h"

#include <linux/xfrm.h>

#include <cerrno>

namespace sockswitch {
namespace {

// Of Linux 5.14, which older headers lack: struct xfrm_userpolicy_default.
constexpr std::uint16_t kGetDefault = 40;  // XFRM_MSG_GETDEFAULT
constexpr std::uint8_t kBlock = 1;         // XFRM_USERPOLICY_BLOCK
struct DefaultPolicies {
  std::uint8_t in;
  std::uint8_t forward;
  std::uint8_t out;
};

std::string unreadable(const std::string& why) { return "xfrm policies cannot be read: " + why; }

}  // namespace

std::optional<std::string> xfrm_obstacle(const NetlinkMessage& spd_info) {
  std::optional<xfrmu_spdinfo> info;
  // The answer begins with the question's flags.
  const bool fine =
      spd_info.type == XFRM_MSG_NEWSPDINFO &&
      walk_attributes(spd_info.attributes(sizeof(__u32)), [&](const NetlinkAttribute& attribute) {
        if (attribute.type == XFRMA_SPD_INFO) info = read_structure<xfrmu_spdinfo>(attribute.data);
      });
  if (!fine || !info) return unreadable("malformed answer");
  if (info->incnt + info->outcnt + info->fwdcnt == 0) return {};
  return "xfrm policies";
}

std::optional<std::string> xfrm_default_obstacle(const NetlinkMessage& defaults) {
  const auto policies = defaults.header<DefaultPolicies>();
  if (defaults.type != kGetDefault || !policies) return unreadable("malformed answer");
  if (policies->in == kBlock || policies->out == kBlock || policies->forward == kBlock) {
    return "xfrm policies: blocked by default";
  }
  return {};
}

std::optional<std::string> read_xfrm(NetlinkSocket& socket) {
  NetlinkRequest count(XFRM_MSG_GETSPDINFO);
  count.header(std::uint32_t{0});
  const NetlinkAnswer counts = socket.ask(count);
  const auto counted = counts.first();
  if (!counted) return unreadable(counts.reason());
  if (auto obstacle = xfrm_obstacle(*counted)) return obstacle;

  NetlinkRequest ask_default(kGetDefault);
  ask_default.header(DefaultPolicies{});
  const NetlinkAnswer defaults = socket.ask(ask_default);
  // Older kernels know no such message.
  if (defaults.status() == NetlinkStatus::kRefused && defaults.error() == EINVAL) return {};
  const auto answered = defaults.first();
  if (!answered) return unreadable(defaults.reason());
  return xfrm_default_obstacle(*answered);
}

}  // namespace sockswitch
