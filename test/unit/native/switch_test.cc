// Sockets of this machine's loopback: what the kernel tells of them, and what is carried over.
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <thread>
#include <vector>

#include "base/unique_fd.h"
#include "check.h"
#include "kernel/control_thread.h"
#include "kernel/syscalls.h"
#include "loopback.h"
#include "switch/epoll_set.h"
#include "switch/socket_options.h"
#include "switch/tcp_socket.h"

namespace {

using namespace sockswitch;  // NOLINT(google-build-using-namespace): a test of this namespace

TEST(a_socket_is_closed_until_it_connects) {
  Loopback server;
  UniqueFd socket = tcp();
  CHECK(is_closed(socket.get()));
  CHECK_EQ(probe_connect(socket.get(), AF_INET), 0);
  CHECK_EQ(probe_connect(socket.get(), AF_INET), 0);
  CHECK_EQ(server.connect(socket), 0);
  CHECK(!is_closed(socket.get()));
  UniqueFd v6 = tcp(AF_INET6);
  CHECK_EQ(probe_connect(v6.get(), AF_INET6), 0);
}

TEST(a_refused_socket_may_connect_again) {
  Loopback server;
  server.close();
  UniqueFd blocking = tcp();
  CHECK_EQ(server.connect(blocking), ECONNREFUSED);
  CHECK_EQ(probe_connect(blocking.get(), AF_INET), 0);
  UniqueFd waiting = tcp(AF_INET, SOCK_NONBLOCK);
  CHECK_EQ(server.connect(waiting), EINPROGRESS);
  CHECK(is_closed(waiting.get()));
  CHECK_EQ(probe_connect(waiting.get(), AF_INET), ECONNREFUSED);
  CHECK_EQ(probe_connect(waiting.get(), AF_INET), 0);
}

TEST(an_error_that_was_fetched_is_an_abort_once) {
  Loopback server;
  server.close();
  UniqueFd socket = tcp(AF_INET, SOCK_NONBLOCK);
  CHECK_EQ(server.connect(socket), EINPROGRESS);
  CHECK_EQ(int_option(socket.get(), SOL_SOCKET, SO_ERROR).value_or(0), ECONNREFUSED);
  CHECK_EQ(probe_connect(socket.get(), AF_INET), ECONNABORTED);
  CHECK_EQ(probe_connect(socket.get(), AF_INET), 0);
}

TEST(an_ended_connection_does_not_connect_again) {
  Loopback server;
  UniqueFd socket = tcp();
  CHECK_EQ(server.connect(socket), 0);
  ::shutdown(socket.get(), SHUT_RDWR);
  server.close();
  CHECK(is_closed(socket.get()));
  CHECK_EQ(probe_connect(socket.get(), AF_INET), EISCONN);
}

TEST(a_socket_is_identified) {
  UniqueFd socket = tcp(AF_INET6);
  auto identity = identify(socket.get());
  CHECK(identity && identity->domain == AF_INET6 && identity->protocol == IPPROTO_TCP);
  CHECK(identity && !identity->bound && identity->netns != 0);
  UniqueFd local(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  CHECK(!identify(local.get()));
  CHECK(!identify(0));
  Loopback server;
  UniqueFd connected = tcp();
  CHECK_EQ(server.connect(connected), 0);
  CHECK(identify(connected.get())->bound);
}

TEST(only_options_that_were_set_are_carried_over) {
  for (int domain : {AF_INET, AF_INET6}) {
    UniqueFd fresh = tcp(domain);
    OptionBaseline baseline(fresh.get(), domain);
    UniqueFd from = tcp(domain);
    UniqueFd to = tcp(domain);
    int one = 1;
    int size = 100000;
    int level = 6;
    timeval limit{3, 0};
    ::setsockopt(from.get(), IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    ::setsockopt(from.get(), SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    ::setsockopt(from.get(), SOL_SOCKET, SO_PRIORITY, &level, sizeof level);
    ::setsockopt(from.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    CHECK_EQ(OptionCopy(from.get(), baseline).all(to.get()), std::string());
    CHECK_EQ(int_option(to.get(), IPPROTO_TCP, TCP_NODELAY).value_or(-1), 1);
    CHECK_EQ(int_option(to.get(), SOL_SOCKET, SO_RCVBUF).value_or(-1), 2 * size);
    CHECK_EQ(int_option(to.get(), SOL_SOCKET, SO_PRIORITY).value_or(-1), level);
    CHECK(int_option(to.get(), SOL_SOCKET, SO_SNDBUF) ==
          int_option(fresh.get(), SOL_SOCKET, SO_SNDBUF));
  }
}

TEST(options_are_carried_over_in_steps) {
  UniqueFd fresh = tcp();
  OptionBaseline baseline(fresh.get(), AF_INET);
  UniqueFd from = tcp();
  UniqueFd to = tcp();
  const auto set = [&](int level, int name, int value) {
    CHECK_EQ(::setsockopt(from.get(), level, name, &value, sizeof value), 0);
  };
  const auto has = [&](int level, int name) {
    return int_option(to.get(), level, name).value_or(-1);
  };
  set(IPPROTO_IP, IP_TOS, 0x10);
  set(IPPROTO_TCP, TCP_NODELAY, 1);
  set(IPPROTO_TCP, TCP_MAXSEG, 1000);
  OptionCopy options(from.get(), baseline);
  CHECK_EQ(options.first(to.get()), std::string());
  CHECK_EQ(has(IPPROTO_IP, IP_TOS), 0x10);
  CHECK_EQ(has(IPPROTO_TCP, TCP_NODELAY), 0);
  CHECK_EQ(options.late(to.get()), std::string());
  CHECK_EQ(has(IPPROTO_TCP, TCP_NODELAY), 1);
  CHECK(has(IPPROTO_TCP, TCP_MAXSEG) != 1000);
  CHECK_EQ(options.rare(to.get()), std::string());
  CHECK_EQ(has(IPPROTO_TCP, TCP_MAXSEG), 1000);
  // Set by another thread meanwhile, also back to what it was.
  set(IPPROTO_IP, IP_TOS, 0);
  set(SOL_SOCKET, SO_SNDBUF, 50000);
  CHECK_EQ(options.again(to.get()), std::string());
  CHECK_EQ(has(IPPROTO_IP, IP_TOS), 0);
  CHECK_EQ(has(SOL_SOCKET, SO_SNDBUF), 100000);
}

TEST(rare_options_are_those_that_are_not_always_read) {
  CHECK(!is_rare_option(IPPROTO_TCP, TCP_NODELAY));
  CHECK(!is_rare_option(SOL_SOCKET, SO_RCVBUF));
  CHECK(is_rare_option(IPPROTO_TCP, TCP_MAXSEG));
  CHECK(is_rare_option(SOL_SOCKET, SO_BINDTODEVICE));
  CHECK(is_rare_option(SOL_SOCKET, 9999));
}

TEST(what_cannot_be_carried_over_is_named) {
  UniqueFd fresh = tcp();
  OptionBaseline baseline(fresh.get(), AF_INET);
  UniqueFd from = tcp();
  UniqueFd to = tcp();
  int loopback = 1;
  ::setsockopt(from.get(), SOL_SOCKET, SO_BINDTOIFINDEX, &loopback, sizeof loopback);
  CHECK_EQ(OptionCopy(from.get(), baseline).all(to.get()), std::string("SO_BINDTODEVICE"));
  CHECK_EQ(OptionCopy(from.get(), baseline, true).all(to.get()), std::string());
}

epoll_event next_event(const UniqueFd& set) {
  epoll_event event{};
  if (::epoll_wait(set.get(), &event, 1, 0) != 1) event.data.u64 = 0;
  return event;
}

std::vector<EpollRegistration> registered(const UniqueFd& set, EpollEntry entry) {
  std::vector<EpollRegistration> registrations;
  registrations.push_back({UniqueFd(::dup(set.get())), entry});
  return registrations;
}

// Puts a socket in the place of another one, under a number that is taken here.
void move_under_borrowed_number() {
  CHECK_EQ(::unshare(CLONE_FILES), 0);
  UniqueFd set(::epoll_create1(EPOLL_CLOEXEC));
  UniqueFd old = tcp();  // a fresh socket reports EPOLLHUP
  UniqueFd fresh = tcp();
  UniqueFd taken = tcp();
  const int number = taken.get();
  const auto cookie_before = socket_cookie(number);
  // The entry is known under the number, not under ours.
  UniqueFd saved(::dup(number));
  CHECK_EQ(::dup3(old.get(), number, O_CLOEXEC), number);
  epoll_event event{.events = EPOLLIN, .data = {.u64 = 42}};
  CHECK_EQ(::epoll_ctl(set.get(), EPOLL_CTL_ADD, number, &event), 0);
  CHECK_EQ(::dup3(saved.get(), number, O_CLOEXEC), number);

  auto registrations = registered(set, {EPOLLIN, 43});
  CHECK_EQ(epoll_move(registrations, old.get(), fresh.get(), number), 0);
  CHECK_EQ(socket_cookie(number), cookie_before);
  old.reset();
  CHECK_EQ(next_event(set).data.u64, 43U);
  // It is there already, so nothing changes.
  CHECK_EQ(epoll_move(registrations, taken.get(), fresh.get(), number), EEXIST);
  CHECK_EQ(next_event(set).data.u64, 43U);
  CHECK_EQ(socket_cookie(number), cookie_before);
  // The number may be the set's own, or the socket's.
  CHECK_EQ(epoll_move(registrations, taken.get(), fresh.get(), registrations[0].set.get()), 0);
  CHECK_EQ(epoll_move(registrations, taken.get(), fresh.get(), fresh.get()), 0);
  CHECK_EQ(epoll_move(registrations, fresh.get(), taken.get(), fresh.get()), 0);
  CHECK_EQ(socket_cookie(number), cookie_before);
}

TEST(what_an_epoll_set_holds_is_known_without_kcmp) {
  const auto self = static_cast<pid_t>(::syscall(SYS_gettid));
  UniqueFd set(::epoll_create1(EPOLL_CLOEXEC));
  UniqueFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  UniqueFd other(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  auto both = [&](int epoll, int fd, int number) {
    Membership found = epoll_membership_by_fdinfo(self, epoll, fd, number);
    CHECK(found == epoll_membership(self, epoll, fd, number));
    return found;
  };
  CHECK(both(set.get(), socket.get(), socket.get()) == Membership::kAbsent);
  epoll_event event{.events = EPOLLIN, .data = {.u64 = 1}};
  CHECK_EQ(::epoll_ctl(set.get(), EPOLL_CTL_ADD, socket.get(), &event), 0);
  CHECK(both(set.get(), socket.get(), socket.get()) == Membership::kPresent);
  CHECK(both(set.get(), other.get(), other.get()) == Membership::kAbsent);
  CHECK(both(set.get(), other.get(), socket.get()) == Membership::kAbsent);
  CHECK(both(socket.get(), other.get(), 0) == Membership::kNoEpoll);
  int closed = set.get();
  set = UniqueFd();
  CHECK(both(closed, socket.get(), socket.get()) == Membership::kNoEpoll);
}

TEST(an_epoll_set_takes_a_socket_under_any_number) {
  std::thread(move_under_borrowed_number).join();
}

TEST(the_control_thread_works_and_passes_errors_on) {
  ControlThread control;
  int result = 0;
  control.run([&] { result = 7; });
  CHECK_EQ(result, 7);
  bool thrown = false;
  try {
    control.run([] { throw std::runtime_error("as wanted"); });
  } catch (const std::runtime_error&) {
    thrown = true;
  }
  CHECK(thrown);
  std::thread([&] {
    ::unshare(CLONE_FILES);
    UniqueFd fetched = control.bring([] { return tcp(AF_INET6); });
    CHECK_EQ(int_option(fetched.get(), SOL_SOCKET, SO_DOMAIN).value_or(0), AF_INET6);
  }).join();
}

}  // namespace
