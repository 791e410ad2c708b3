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

Xfrm unreadable(const std::string& why) {
  return {.trouble = "xfrm policies cannot be read: " + (why.empty() ? "malformed answer" : why)};
}

}  // namespace

std::optional<bool> has_xfrm_policies(const NetlinkMessage& spd_info) {
  std::optional<xfrmu_spdinfo> info;
  // The answer begins with the question's flags.
  const bool fine =
      spd_info.type == XFRM_MSG_NEWSPDINFO &&
      walk_attributes(spd_info.attributes(sizeof(__u32)), [&](const NetlinkAttribute& attribute) {
        if (attribute.type == XFRMA_SPD_INFO) info = read_structure<xfrmu_spdinfo>(attribute.data);
      });
  if (!fine || !info) return {};
  return info->incnt != 0 || info->outcnt != 0 || info->fwdcnt != 0;
}

std::optional<bool> blocks_by_default(const NetlinkMessage& defaults) {
  const auto policies = defaults.header<DefaultPolicies>();
  if (defaults.type != kGetDefault || !policies) return {};
  return policies->in == kBlock || policies->out == kBlock || policies->forward == kBlock;
}

Xfrm read_xfrm(NetlinkSocket& socket) {
  NetlinkRequest count(XFRM_MSG_GETSPDINFO);
  count.header(std::uint32_t{0});
  const NetlinkAnswer counts = socket.ask(count);
  const auto counted = counts.first();
  const auto any = counted ? has_xfrm_policies(*counted) : std::nullopt;
  if (!any) return unreadable(counts.reason());
  if (*any) return {.obstacle = "xfrm policies"};

  NetlinkRequest ask_default(kGetDefault);
  ask_default.header(DefaultPolicies{});
  const NetlinkAnswer defaults = socket.ask(ask_default);
  // Older kernels know no such message.
  if (defaults.status() == NetlinkStatus::kRefused && defaults.error() == EINVAL) return {};
  const auto answered = defaults.first();
  const auto blocks = answered ? blocks_by_default(*answered) : std::nullopt;
  if (!blocks) return unreadable(defaults.reason());
  if (*blocks) return {.obstacle = "xfrm policies: blocked by default"};
  return {};
}

}  // namespace sockswitch
