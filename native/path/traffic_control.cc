#include "path/traffic_control.h"

#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>

#include <algorithm>
#include <array>
#include <string_view>

namespace sockswitch {
namespace {

// Each costs a question; a namespace of pods has a hundred devices, but without a queue.
constexpr int kMaxQuestions = 256;
constexpr std::size_t kMaxQdiscs = 16384;

// What the kernel itself puts on devices (net.core.default_qdisc): they delay, and drop only what
// is too much.
constexpr std::array<std::string_view, 7> kPlain{"noqueue", "pfifo_fast", "pfifo", "bfifo",
                                                 "fq",      "fq_codel",   "mq"};

// The parents at which a qdisc of this kind may have filters.
std::vector<std::uint32_t> filter_parents(const Qdisc& qdisc) {
  if (qdisc.kind == "clsact") {
    return {TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS), TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_EGRESS)};
  }
  if (qdisc.kind == "ingress") return {TC_H_MAKE(TC_H_INGRESS, 0)};
  if (qdisc.kind != "fq_codel") return {};
  if (qdisc.parent == TC_H_ROOT) return {0};
  if (qdisc.handle != 0) return {qdisc.handle};
  return {};  // a queue's of "mq", which no filter can name
}

// Whether there is any; no value: that could not be told.
std::optional<bool> has_filters(NetlinkSocket& socket, const Qdisc& qdisc, std::uint32_t parent) {
  NetlinkRequest request(RTM_GETTFILTER, NLM_F_DUMP);
  tcmsg message{};
  message.tcm_ifindex = qdisc.device;
  message.tcm_parent = parent;
  request.header(message);
  const NetlinkAnswer answer = socket.ask(request);
  if (!answer.complete()) return {};
  return answer.first().has_value();
}

}  // namespace

std::optional<Qdisc> parse_qdisc(const NetlinkMessage& message) {
  const auto header = message.header<tcmsg>();
  if (message.type != RTM_NEWQDISC || !header) return {};
  Qdisc qdisc{
      .device = header->tcm_ifindex, .handle = header->tcm_handle, .parent = header->tcm_parent};
  const bool fine =
      walk_attributes(message.attributes(sizeof(tcmsg)), [&](const NetlinkAttribute& attribute) {
        if (attribute.type == TCA_KIND) qdisc.kind = attribute.text();
      });
  if (!fine || qdisc.kind.empty()) return {};
  return qdisc;
}

std::optional<std::string> TrafficControl::obstacle(int device, const std::string& name) const {
  if (trouble) return trouble;
  auto found = devices.find(device);
  if (found == devices.end()) return {};
  return found->second + " on " + (name.empty() ? std::to_string(device) : name);
}

TrafficControl read_traffic_control(NetlinkSocket& socket) {
  TrafficControl control;
  auto fail = [&](const std::string& why) {
    control.trouble = "traffic control cannot be read: " + why;
    return control;
  };
  NetlinkRequest request(RTM_GETQDISC, NLM_F_DUMP);
  request.header(tcmsg{});
  const NetlinkAnswer answer = socket.ask(request);
  if (!answer.complete()) return fail(answer.reason());
  std::vector<Qdisc> qdiscs;
  NetlinkMessages walk = answer.messages();
  for (NetlinkMessage message; walk.next(message);) {
    auto qdisc = parse_qdisc(message);
    if (!qdisc || qdiscs.size() >= kMaxQdiscs) return fail("malformed answer, or too much");
    qdiscs.push_back(std::move(*qdisc));
  }
  int questions = 0;
  for (const Qdisc& qdisc : qdiscs) {
    const std::vector<std::uint32_t> parents = filter_parents(qdisc);
    const bool plain = std::ranges::find(kPlain, qdisc.kind) != kPlain.end();
    if (!plain && parents.empty()) control.devices.emplace(qdisc.device, "qdisc " + qdisc.kind);
    for (std::uint32_t parent : parents) {
      if (++questions > kMaxQuestions) return fail("too many devices");
      const auto filters = has_filters(socket, qdisc, parent);
      if (!filters) return fail("filters of device " + std::to_string(qdisc.device));
      if (*filters) control.devices.insert_or_assign(qdisc.device, "tc filter");
    }
  }
  return control;
}

}  // namespace sockswitch
