// Netlink requests, attributes and answers (kernel/netlink_message.h).
#include "kernel/netlink_message.h"

#include <linux/rtnetlink.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <thread>

#include "base/errno_error.h"
#include "check.h"
#include "kernel/netlink.h"

namespace {

using namespace sockswitch;  // NOLINT(google-build-using-namespace): a test of this namespace
using Progress = NetlinkAnswerReader::Progress;

std::vector<std::uint8_t> message(std::uint16_t type, std::uint32_t sequence, std::int32_t payload,
                                  std::uint16_t flags = 0) {
  NetlinkRequest made(type, flags);
  made.header(payload);
  NetlinkBytes bytes = made.bytes(sequence);
  return {bytes.begin(), bytes.end()};
}

std::vector<std::uint8_t> joined(const std::vector<std::vector<std::uint8_t>>& messages) {
  std::vector<std::uint8_t> all;
  for (const auto& one : messages) all.insert(all.end(), one.begin(), one.end());
  return all;
}

std::size_t count(NetlinkMessages walk) {
  std::size_t found = 0;
  for (NetlinkMessage one; walk.next(one);) ++found;
  return found;
}

TEST(a_request_is_read_back) {
  NetlinkRequest request(RTM_GETROUTE, NLM_F_DUMP);
  rtmsg header{};
  header.rtm_family = AF_INET;
  request.header(header).number<std::uint32_t>(RTA_OIF, 7).text(RTA_METRICS, "eth0");
  auto nest = request.begin_nest(RTA_MULTIPATH);
  request.big_endian32(1, 0x01020304).address(2, *Address::parse("fd00::1"));
  request.end_nest(nest);
  CHECK(request.is_dump() && !request.wants_acknowledgement());

  NetlinkMessages walk(request.bytes(9));
  NetlinkMessage read;
  CHECK(walk.next(read));
  CHECK(read.type == RTM_GETROUTE && read.sequence == 9);
  CHECK((read.flags & NLM_F_REQUEST) != 0);
  CHECK(read.header<rtmsg>()->rtm_family == AF_INET);
  int seen = 0;
  CHECK(walk_attributes(read.attributes(sizeof(rtmsg)), [&](const NetlinkAttribute& attribute) {
    ++seen;
    if (attribute.type == RTA_OIF) CHECK(attribute.number<std::uint32_t>() == 7U);
    if (attribute.type == RTA_OIF) CHECK(!attribute.number<std::uint64_t>());
    if (attribute.type == RTA_METRICS) CHECK_EQ(attribute.text(), std::string_view("eth0"));
    if (attribute.type != RTA_MULTIPATH) return;
    CHECK(walk_attributes(attribute.data, [&](const NetlinkAttribute& inner) {
      ++seen;
      if (inner.type == 1) CHECK(inner.big_endian32() == 0x01020304U);
      if (inner.type == 2) CHECK_EQ(inner.address()->text(), std::string("fd00::1"));
    }));
  }));
  CHECK_EQ(seen, 5);
  CHECK(!walk.next(read) && walk.ok());
}

TEST(malformed_attributes_are_noticed) {
  const std::vector<std::uint8_t> good{8, 0, 1, 0, 1, 2, 3, 4};
  auto fine = [](std::vector<std::uint8_t> bytes) {
    return walk_attributes(bytes, [](const NetlinkAttribute&) {});
  };
  CHECK(fine(good) && fine({}) && fine({0, 0, 0}));
  CHECK(!fine({3, 0, 1, 0}));              // shorter than its header
  CHECK(!fine({0, 0, 1, 0}));              // would never end
  CHECK(!fine({9, 0, 1, 0, 1, 2, 3, 4}));  // longer than what is there
  CHECK(fine({5, 0, 1, 0, 1}));            // the padding of the last may be missing
}

TEST(a_dump_is_complete_with_its_end) {
  NetlinkAnswerReader reader(5, true, false, 1024);
  CHECK(reader.take(joined({message(RTM_NEWROUTE, 5, 1), message(RTM_NEWROUTE, 4, 1)})) ==
        Progress::kMore);
  CHECK(reader.take(message(NLMSG_DONE, 4, 0)) == Progress::kMore);
  CHECK(reader.take(joined({message(RTM_NEWROUTE, 5, 2), message(NLMSG_DONE, 5, 0)})) ==
        Progress::kFinished);
  const auto answer = NetlinkAnswer::complete(reader.release());
  CHECK_EQ(count(answer.messages()), std::size_t{2});
  CHECK(answer.first()->header<std::int32_t>() == 1);
}

TEST(one_message_answers_what_is_no_dump) {
  NetlinkAnswerReader reader(5, false, false, 1024);
  CHECK(reader.take(message(RTM_NEWROUTE, 5, 1)) == Progress::kFinished);
  NetlinkAnswerReader refused(5, false, false, 1024);
  CHECK(refused.take(message(NLMSG_ERROR, 5, -ENETUNREACH)) == Progress::kRefused);
  CHECK_EQ(refused.error(), ENETUNREACH);
  NetlinkAnswerReader acknowledged(5, false, true, 1024);
  CHECK(acknowledged.take(message(RTM_NEWROUTE, 5, 1)) == Progress::kMore);
  CHECK(acknowledged.take(message(NLMSG_ERROR, 5, 0)) == Progress::kFinished);
}

TEST(a_dump_that_fails_or_changes_is_not_complete) {
  NetlinkAnswerReader failed(5, true, false, 1024);
  CHECK(failed.take(joined({message(RTM_NEWROUTE, 5, 1), message(NLMSG_DONE, 5, -ENOMEM)})) ==
        Progress::kRefused);
  NetlinkAnswerReader changed(5, true, false, 1024);
  CHECK(changed.take(message(RTM_NEWROUTE, 5, 1, NLM_F_DUMP_INTR)) == Progress::kMore);
  CHECK(changed.take(message(NLMSG_DONE, 5, 0)) == Progress::kInterrupted);
}

TEST(an_answer_has_bounds) {
  NetlinkAnswerReader reader(5, true, false, 100);
  Progress progress = Progress::kMore;
  for (int i = 0; i < 10 && progress == Progress::kMore; ++i) {
    progress = reader.take(message(RTM_NEWROUTE, 5, i));
  }
  CHECK(progress == Progress::kTooLong);
}

TEST(an_answer_cut_anywhere_is_malformed) {
  const auto whole = joined({message(RTM_NEWROUTE, 5, 1), message(NLMSG_DONE, 5, 0)});
  for (std::size_t size = 1; size < whole.size(); ++size) {
    if (size == whole.size() / 2) continue;  // between two messages
    NetlinkAnswerReader reader(5, true, false, 1024);
    CHECK(reader.take(NetlinkBytes(whole).first(size)) == Progress::kMalformed);
  }
}

TEST(the_kernel_answers) {
  NetlinkSocket socket(open_netlink(NETLINK_ROUTE));
  NetlinkRequest links(RTM_GETLINK, NLM_F_DUMP);
  links.header(ifinfomsg{});
  CHECK(socket.ask(links).first().has_value());
  NetlinkRequest nobody(RTM_GETLINK);
  ifinfomsg unknown{};
  unknown.ifi_index = 0x7fffffff;
  nobody.header(unknown);
  const auto answer = socket.ask(nobody);
  CHECK(answer.status() == NetlinkStatus::kRefused);
  CHECK_EQ(answer.error(), ENODEV);
}

TEST(a_socket_recovers_from_an_answer_that_was_too_long) {
  NetlinkSocket socket(open_netlink(NETLINK_ROUTE));
  NetlinkRequest links(RTM_GETLINK, NLM_F_DUMP);
  links.header(ifinfomsg{});
  const auto cut = socket.ask(links, {.bytes = 16});
  CHECK(cut.status() == NetlinkStatus::kUnknown);
  CHECK_EQ(cut.error(), EOVERFLOW);
  CHECK_EQ(count(cut.messages()), std::size_t{0});
  CHECK(socket.ask(links).complete());
}

TEST(a_socket_that_is_none_is_unknown_at_once) {
  NetlinkSocket socket{UniqueFd()};
  NetlinkRequest links(RTM_GETLINK, NLM_F_DUMP);
  links.header(ifinfomsg{});
  const auto answer = socket.ask(links);
  CHECK(answer.status() == NetlinkStatus::kUnknown);
  CHECK_EQ(answer.error(), EBADF);
}

// The address of a socket that asks, and one that sends to it; CAP_NET_ADMIN is needed for that.
struct Forgery {
  explicit Forgery(const UniqueFd& asking) : forger(open_netlink(NETLINK_ROUTE)) {
    to.nl_family = AF_NETLINK;
    CHECK(::bind(asking.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0);
    socklen_t length = sizeof to;
    CHECK(::getsockname(asking.get(), reinterpret_cast<sockaddr*>(&to), &length) == 0);
  }
  // 0 or an errno.
  int send() const {
    const auto forged = message(RTM_NEWLINK, 1, 0);
    const auto sent = ::sendto(forger.get(), forged.data(), forged.size(), MSG_DONTWAIT,
                               reinterpret_cast<const sockaddr*>(&to), sizeof to);
    return sent < 0 ? errno : 0;
  }
  UniqueFd forger;
  sockaddr_nl to{};
};

NetlinkRequest for_no_link() {
  NetlinkRequest nobody(RTM_GETLINK);
  ifinfomsg unknown{};
  unknown.ifi_index = 0x7fffffff;
  nobody.header(unknown);
  return nobody;
}

TEST(a_message_of_another_process_is_refused) {
  UniqueFd asking = open_netlink(NETLINK_ROUTE);
  const Forgery forgery(asking);
  if (::geteuid() == 0) CHECK_EQ(forgery.send(), 0);
  NetlinkSocket socket(std::move(asking));
  CHECK_EQ(forgery.send(), ::geteuid() == 0 ? ECONNREFUSED : EPERM);
  NetlinkRequest nobody = for_no_link();
  // The one that came before is no answer.
  CHECK(socket.ask(nobody).status() == NetlinkStatus::kRefused);
}

// Asks again and again for a second; the exit status says whether every answer was complete.
[[noreturn]] void keep_asking() {
  NetlinkSocket socket(open_route_socket());
  bool fine = true;
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(1);
  while (std::chrono::steady_clock::now() < end) {
    NetlinkRequest links(RTM_GETLINK, NLM_F_DUMP);
    links.header(ifinfomsg{});
    fine = socket.ask(links, {.time = std::chrono::milliseconds(20)}).complete() && fine;
  }
  ::_exit(fine ? 0 : 1);
}

TEST(who_is_stopped_for_longer_than_an_answer_may_take_still_takes_it) {
  const pid_t child = ::fork();
  CHECK(child >= 0);
  if (child == 0) keep_asking();
  for (int times = 0; times < 10; ++times) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    ::kill(child, SIGSTOP);
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    ::kill(child, SIGCONT);
  }
  int status = -1;
  CHECK_EQ(::waitpid(child, &status, 0), child);
  CHECK_EQ(status, 0);
}

}  // namespace
