// Parsers of what the kernel tells: netlink answers and /proc text.
#include <linux/netlink.h>
#include <linux/rtnetlink.h>

#include <cstring>
#include <vector>

#include "check.h"
#include "notify/caller.h"
#include "notify/interrupted.h"
#include "path/routing.h"
#include "publish/allowance.h"
#include "switch/epoll_set.h"

namespace {

using namespace sockswitch;  // NOLINT(google-build-using-namespace): a test of this namespace

std::optional<FoundRoute> parsed(const std::vector<std::uint8_t>& datagram) {
  NetlinkMessages walk(datagram);
  NetlinkMessage message;
  return walk.next(message) ? parse_route(message) : std::nullopt;
}

// A netlink answer, built as the kernel lays it out.
class Answer {
 public:
  explicit Answer(std::uint8_t type, std::uint8_t prefix_length = 0, int family = AF_INET) {
    rtmsg message{};
    message.rtm_family = static_cast<std::uint8_t>(family);
    message.rtm_type = type;
    message.rtm_dst_len = prefix_length;
    append(&message, sizeof message);
  }
  Answer& attribute(std::uint16_t type, const void* data, std::size_t size) {
    rtattr header{};
    header.rta_type = type;
    header.rta_len = static_cast<std::uint16_t>(RTA_LENGTH(size));
    append(&header, sizeof header);
    append(data, size);
    return *this;
  }
  Answer& device(int index) { return attribute(RTA_OIF, &index, sizeof index); }
  Answer& address(std::uint16_t type, const std::string& text) {
    auto parsed = Address::parse(text);
    if (parsed->is_v4()) return attribute(type, parsed->bytes.data() + 12, 4);
    return attribute(type, parsed->bytes.data(), 16);
  }
  std::vector<std::uint8_t> bytes() const {
    nlmsghdr header{};
    header.nlmsg_type = RTM_NEWROUTE;
    header.nlmsg_len = static_cast<std::uint32_t>(NLMSG_HDRLEN + payload_.size());
    std::vector<std::uint8_t> all(NLMSG_HDRLEN);
    std::memcpy(all.data(), &header, sizeof header);
    all.insert(all.end(), payload_.begin(), payload_.end());
    return all;
  }
  std::optional<FoundRoute> parse() const { return parsed(bytes()); }

 private:
  void append(const void* data, std::size_t size) {
    const auto* from = static_cast<const std::uint8_t*>(data);
    payload_.insert(payload_.end(), from, from + size);
    payload_.resize(NLMSG_ALIGN(payload_.size()));
  }
  std::vector<std::uint8_t> payload_;
};

TEST(a_route_over_a_gateway) {
  auto route = Answer(RTN_UNICAST).device(2).address(RTA_GATEWAY, "10.0.0.1").parse();
  CHECK(route && route->gateway && route->device == 2 && route->strange.empty());
  CHECK_EQ(route->gateway->text(), std::string("10.0.0.1"));
  CHECK_EQ(route->prefix_text(), std::string("0.0.0.0/0"));
}

TEST(a_route_on_a_link) {
  auto route = Answer(RTN_UNICAST, 64, AF_INET6).device(3).address(RTA_DST, "fd00::").parse();
  CHECK(route && !route->gateway);
  CHECK_EQ(route->prefix_text(), std::string("fd00::/64"));
}

TEST(the_first_hop_of_several) {
  std::uint8_t hops[sizeof(rtnexthop) + RTA_LENGTH(4)]{};
  rtnexthop hop{};
  hop.rtnh_len = sizeof hops;
  hop.rtnh_ifindex = 7;
  rtattr gateway{};
  gateway.rta_type = RTA_GATEWAY;
  gateway.rta_len = RTA_LENGTH(4);
  std::memcpy(hops, &hop, sizeof hop);
  std::memcpy(hops + sizeof hop, &gateway, sizeof gateway);
  auto route = Answer(RTN_UNICAST).attribute(RTA_MULTIPATH, hops, sizeof hops).parse();
  CHECK(route && route->device == 7 && route->gateway && !route->strange.empty());
}

TEST(a_route_cut_anywhere_is_no_crash) {
  auto whole = Answer(RTN_UNICAST).device(2).address(RTA_GATEWAY, "10.0.0.1").bytes();
  for (std::size_t size = 0; size < whole.size(); ++size) {
    std::vector<std::uint8_t> cut(whole.begin(), whole.begin() + static_cast<long>(size));
    CHECK(!parsed(cut));
  }
}

TEST(an_epoll_entry_is_found_by_number_and_inode) {
  const std::string text =
      "pos:\t0\nflags:\t02\nmnt_id:\t15\nino:\t1057\n"
      "tfd:        8 events:     2019 data: 7f00dead0000beef  pos:0 ino:9a31 sdev:8\n"
      "tfd:       12 events: 80000001 data:                c  pos:0 ino:77 sdev:8\n";
  auto entry = find_epoll_entry(text, 8, 0x9a31);
  CHECK(entry && entry->events == 0x2019 && entry->data == 0x7f00dead0000beef);
  entry = find_epoll_entry(text, 12, 0x77);
  CHECK(entry && entry->events == 0x80000001 && entry->data == 12);
  CHECK(!find_epoll_entry(text, 8, 0x77));
  CHECK(!find_epoll_entry(text, 1, 0x9a31));
  CHECK(!find_epoll_entry("", 8, 0));
  CHECK(!find_epoll_entry("tfd:", 0, 0));
  CHECK(!find_epoll_entry("tfd: 8 events: zz data: 1 ino: 2", 8, 2));
}

TEST(descriptor_flags_are_read_in_octal) {
  auto flags = [](const std::string& text) {
    return parse_descriptor_flags(text.data(), text.size());
  };
  auto both = flags("pos:\t0\nflags:\t02004002\nmnt_id:\t10\n");
  CHECK(both && both->non_blocking && both->close_on_exec);
  auto none = flags("pos:\t0\nflags:\t02\n");
  CHECK(none && !none->non_blocking && !none->close_on_exec);
  CHECK(!flags("pos:\t0\n"));
  CHECK(!flags("flags:\tx\n"));
}

TEST(an_interrupted_call_is_remembered_once) {
  Interrupted interrupted;
  interrupted.keep_result(9, 115);
  CHECK(!interrupted.take_result(8));
  CHECK(interrupted.take_result(9) == 115);
  CHECK(!interrupted.has_results());
  for (std::uint64_t i = 0; i < 1000; ++i) interrupted.keep_result(i, 0);
  CHECK(!interrupted.take_result(0));
  CHECK(interrupted.take_result(999).has_value());
}

TEST(an_allowance_is_used_up_and_grows_again) {
  using std::chrono::milliseconds;
  Allowance allowance(3, 10);
  auto now = Allowance::Clock::now();
  for (int i = 0; i < 3; ++i) CHECK(allowance.take(now));
  CHECK(!allowance.take(now));
  CHECK(!allowance.take(now + milliseconds(50)));
  CHECK(allowance.take(now + milliseconds(160)));
  CHECK(!allowance.take(now + milliseconds(161)));
  // Never more than at once.
  now += std::chrono::seconds(60);
  for (int i = 0; i < 3; ++i) CHECK(allowance.take(now));
  CHECK(!allowance.take(now));
}

}  // namespace
