#include <unistd.h>

#include <algorithm>
#include <initializer_list>
#include <set>

#include "check.h"
#include "path/fallback_options.h"
#include "path/fallback_program.h"

namespace {

using namespace sockswitch;  // NOLINT(google-build-using-namespace): a test of this namespace

using Words = std::vector<std::string>;

// Space separates words; "pasta" or "slirp4netns" begins them.
FallbackOptions read(const std::string& line) {
  Words words;
  for (std::size_t at = 0; at < line.size();) {
    const auto end = std::min(line.find(' ', at), line.size());
    if (end > at) words.push_back(line.substr(at, end - at));
    at = end + 1;
  }
  const bool pasta = line.find("slirp4netns") == std::string::npos;
  return classify(pasta ? FallbackKind::kPasta : FallbackKind::kSlirp4netns, words);
}

// Both families' obstacles, "-" for none: "- | pasta's option --ipv4-only".
std::string obstacles(const std::string& line) {
  const FallbackOptions options = read(line);
  auto text = [](const std::string& obstacle) { return obstacle.empty() ? "-" : obstacle; };
  return text(options.v4.obstacle) + " | " + text(options.v6.obstacle);
}

std::string pasta(const std::string& rest) {
  return obstacles("/usr/bin/pasta --config-net --no-map-gw " + rest + " --netns /run/n/netns-1");
}

std::string slirp(const std::string& rest) {
  return obstacles("slirp4netns --enable-ipv6 -c " + rest + " --netns-type=path /run/n/1 tap0");
}

std::string both(const std::string& obstacle) { return obstacle + " | " + obstacle; }

std::string own(const std::string& line) {
  std::string text;
  for (const Prefix& prefix : read(line).own) text += prefix.text() + " ";
  return text;
}

const std::string kFree = "- | -";

TEST(fallback_what_podman_says_is_harmless) {
  // 4.4 to 4.6, 4.7 to 5.2, 5.3 and later (containers/common, libnetwork/pasta).
  // NOLINTBEGIN(bugprone-suspicious-missing-comma): one line each
  const Words lines = {
      "pasta --config-net -t none -u none -T none -U none --no-map-gw --netns /run/user/1/netns/n",
      "/usr/bin/pasta --config-net --dns-forward 169.254.0.1 -t none -u none -T none -U none "
      "--no-map-gw --quiet --netns /run/user/1000/netns/netns-1",
      "/usr/bin/pasta --config-net --pid /run/p --dns-forward 169.254.1.1 -t none -u none -T none "
      "-U none --no-map-gw --quiet --netns /r/rootless-netns --map-guest-addr 169.254.1.2",
      "/usr/bin/pasta --config-net -t 127.0.0.1/8080-8080:80-80 -u 53-53:53-53 -T none -U none "
      "--no-map-gw --netns /run/user/1000/netns/netns-1",
      // 4.3 to 5.x (libpod/networking_slirp4netns.go, libnetwork/slirp4netns).
      "/usr/bin/slirp4netns --disable-host-loopback --mtu=65520 --enable-sandbox --enable-seccomp "
      "--enable-ipv6 -c -r 3 -e 4 --netns-type=path /run/user/1000/netns/netns-1 tap0",
      "/usr/bin/slirp4netns --disable-host-loopback --mtu=65520 --enable-sandbox --enable-seccomp "
      "--enable-ipv6 -c -r 3 --api-socket /tmp/s.sock --netns-type=path /run/netns-1 tap0",
  };
  // NOLINTEND(bugprone-suspicious-missing-comma)
  for (const std::string& line : lines) CHECK_EQ(obstacles(line), kFree);
  for (const std::string& line : lines) CHECK(!read(line).v4.maps_gateway);
  CHECK_EQ(own(lines[2]), "169.254.1.1/32 169.254.1.2/32 ");
  CHECK(read(lines[2]).serves_bridges);
  CHECK(!read(lines[1]).serves_bridges);
  CHECK(read(lines[1]).copies_host_addresses);
  CHECK(!read(lines[4]).copies_host_addresses);
  CHECK_EQ(read(lines[4]).netns_path, "/run/user/1000/netns/netns-1");
  // As Podman 4.3 names it.
  CHECK(read("slirp4netns -6 -c --netns-type=path /run/user/1/netns/rootless-netns-0a1b2c tap0")
            .serves_bridges);
  CHECK(!read("slirp4netns -6 -c --netns-type=path /run/rootless-netns/x tap0").serves_bridges);
}

TEST(fallback_pasta_families) {
  CHECK_EQ(pasta("-4"), "- | pasta's option --ipv4-only");
  CHECK_EQ(pasta("--ipv4-only"), "- | pasta's option --ipv4-only");
  CHECK_EQ(pasta("-q6f"), "pasta's option --ipv6-only | -");
  CHECK_EQ(pasta("-46"), "pasta's option --ipv6-only | pasta's option --ipv4-only");
  CHECK_EQ(pasta("--no-tcp"), both("pasta's option --no-tcp"));
  CHECK_EQ(pasta("--no-tcp --no-tcp -4"), both("pasta's option --no-tcp"));
  CHECK_EQ(pasta("--splice-only"), both("pasta's option --splice-only"));
  CHECK_EQ(pasta("--no-udp --no-dhcp --no-ra --no-dhcpv6"), kFree);
  CHECK_EQ(pasta("--no-ndp"), "- | pasta's option --no-ndp");
  CHECK_EQ(pasta("--no-icmp"), "- | pasta's option --no-icmp");
}

TEST(fallback_pasta_spellings) {
  CHECK_EQ(pasta("--no-t"), both("pasta's option --no-tcp"));  // what getopt_long completes
  CHECK_EQ(pasta("--mt 1500 --mtu=1500 -m 1500 -m1500"), kFree);
  CHECK_EQ(pasta("-dqm1500"), kFree);
  CHECK_EQ(pasta("--dns 10.0.0.1 --dns-forw=10.0.0.2"), kFree);
  CHECK_EQ(pasta("--no-"), both("the command line of pasta has an abbreviation of several "
                                "options: --no-"));
  CHECK_EQ(pasta("--trace=1"),
           both("the command line of pasta has a value where none belongs: --trace=1"));
  CHECK_EQ(pasta("--frobnicate"),
           both("the command line of pasta has an unknown option: --frobnicate"));
  CHECK_EQ(pasta("-qZ"), both("the command line of pasta has an unknown option: -Z"));
  // In the old pasta of optional values, the second word is an option.
  CHECK_EQ(pasta("-p --no-tcp"), both("the command line of pasta has an option where the value "
                                      "of -p belongs: --no-tcp"));
  CHECK_EQ(obstacles("pasta --no-map-gw --netns"),
           both("the command line of pasta has no value after --netns"));
  CHECK_EQ(obstacles("pasta --no-map-gw 123 --no-tcp"),
           both("the command line of pasta has an option behind an operand: --no-tcp"));
  CHECK_EQ(obstacles("pasta --no-map-gw -- curl --no-tcp"), kFree);
  CHECK_EQ(obstacles("pasta --no-map-gw 123"), kFree);
  CHECK_EQ(obstacles("pasta --no-map-gw - x"), kFree);
}

TEST(fallback_pasta_modes) {
  CHECK_EQ(obstacles("/usr/bin/passt --no-map-gw"),
           both("pasta runs under another name: /usr/bin/passt"));
  CHECK_EQ(obstacles("/opt/pasta.avx2 --no-map-gw"), kFree);
  CHECK_EQ(pasta("--vhost-user"), both("pasta's option --vhost-user, which is not for containers"));
  CHECK_EQ(pasta("-F 3"), both("pasta's option --fd 3, which is not for containers"));
  CHECK_EQ(classify(FallbackKind::kPasta, {}).v4.obstacle,
           "the command line of pasta cannot be read");
  CHECK_EQ(classify(FallbackKind::kSlirp4netns, {}).v6.obstacle,
           "the command line of slirp4netns cannot be read");
}

TEST(fallback_pasta_source_and_device) {
  const auto options = read(
      "pasta -o 192.0.2.1 --outbound fd00::7 -o192.0.2.2 --outbound-if4 eth0 --outbound-if6=wg0 "
      "--no-map-gw --netns /n");
  CHECK_EQ(options.v4.obstacle + options.v6.obstacle, "");
  CHECK_EQ(options.v4.source->text(), "192.0.2.2");  // the last counts
  CHECK_EQ(options.v6.source->text(), "fd00::7");
  CHECK_EQ(options.v4.device, "eth0");
  CHECK_EQ(options.v6.device, "wg0");
  for (const char* address : {"eth0", "0.0.0.0", "127.0.0.1", "::1", "224.0.0.1", "fe80::1",
                              "::ffff:192.0.2.1", "192.0.2.1/24", "255.255.255.255"}) {
    CHECK_EQ(pasta(std::string("-o ") + address),
             both(std::string("pasta's option --outbound ") + address +
                  ", a value that is not understood"));
  }
  CHECK_EQ(pasta("--outbound="), both("pasta's option --outbound, a value that is not "
                                      "understood"));
  CHECK_EQ(pasta("--outbound-if4 fifteen-letters"), kFree);  // the longest
  CHECK_EQ(pasta("--outbound-if4 sixteen-letters-"),
           both("pasta's option --outbound-if4 sixteen-letters-, a value that is not "
                "understood"));
}

TEST(fallback_pasta_destinations_of_its_own) {
  const std::string end = " --netns /n";
  auto maps = [&](const std::string& rest) {
    const auto options = read("pasta " + rest + end);
    return std::string(options.v4.maps_gateway ? "4" : "") + (options.v6.maps_gateway ? "6" : "");
  };
  CHECK_EQ(maps("--config-net"), "46");
  CHECK_EQ(maps("--no-map-gw"), "");
  CHECK_EQ(maps("-g 10.0.0.1"), "6");
  CHECK_EQ(maps("-g 10.0.0.1 --gateway fd00::1"), "");
  CHECK_EQ(maps("--map-host-loopback 192.0.2.9"), "6");
  CHECK_EQ(maps("--map-host-loopback none"), "");
  CHECK_EQ(own("pasta -g 10.0.0.1 --map-host-loopback 192.0.2.9 --map-guest-addr fd00::5 "
               "--dns-forward 192.0.2.53 --netns /n"),
           "10.0.0.1/32 192.0.2.9/32 fd00::5/128 192.0.2.53/32 ");
  CHECK_EQ(own("pasta --map-guest-addr none --map-host-loopback none --netns /n"), "");
  CHECK_EQ(pasta("--map-guest-addr x"),
           both("pasta's option --map-guest-addr x, a value that is not understood"));
  CHECK_EQ(pasta("--dns-forward none"),
           both("pasta's option --dns-forward none, a value that is not understood"));
  CHECK(read("pasta -i eth1 --no-copy-routes --netns /n").copies_host_addresses);
  CHECK(!read("pasta -a 10.9.9.9 --netns /n").copies_host_addresses);
  CHECK(!read("pasta --netmask=255.0.0.0 --netns /n").copies_host_addresses);
  CHECK_EQ(read("pasta /run/n").netns_path, "/run/n");
}

TEST(fallback_slirp4netns) {
  CHECK_EQ(slirp(""), kFree);
  CHECK_EQ(obstacles("slirp4netns -c 123 tap0"), "- | slirp4netns runs without --enable-ipv6");
  CHECK_EQ(obstacles("slirp4netns -c6 123 tap0"), kFree);
  CHECK_EQ(obstacles("slirp4netns -c6 --netns-type tapfd 3"), kFree);
  CHECK_EQ(obstacles("slirp4netns -6"), both("the command line of slirp4netns has no "
                                             "namespace"));
  CHECK_EQ(obstacles("slirp4netns -6 --target-type=bess /x"),
           both("slirp4netns's option --target-type bess"));
  CHECK_EQ(slirp("--target-type netns"), kFree);
  CHECK_EQ(slirp("--macaddress 0a:0b:0c:0d:0e:0f --disable-dns --no-host-loopback -a /s"), kFree);
  CHECK_EQ(slirp("--user-mode"),
           both("the command line of slirp4netns has an unknown option: --user-mode"));
  CHECK_EQ(slirp("--enable-s"), both("the command line of slirp4netns has an abbreviation of "
                                     "several options: --enable-s"));
  CHECK_EQ(own("slirp4netns -6 1 tap0"), "10.0.2.0/24 fd00::/64 ");
  CHECK_EQ(own("slirp4netns --cidr=192.168.0.0/16 -6 1 tap0"), "192.168.0.0/16 fd00::/64 ");
  for (const char* network : {"10.0.2.0", "10.0.2.0/33", "fd00::/64", "x/8", "/", "10.0.2.0/"}) {
    CHECK_EQ(slirp(std::string("--cidr ") + network),
             both(std::string("slirp4netns's option --cidr ") + network +
                  ", a value that is not understood"));
  }
}

TEST(fallback_slirp4netns_answers_for_its_own_addresses) {
  const auto answers = [](const std::string& options, const char* next_hop) {
    return read("slirp4netns -6 -c " + options + " 1 tap0").answers_for(*Address::parse(next_hop));
  };
  CHECK(answers("", "10.0.2.2") && answers("", "10.0.2.3"));
  CHECK(!answers("", "10.0.2.4") && !answers("", "10.0.2.100") && !answers("", "192.0.2.1"));
  CHECK(answers("--cidr=192.168.7.9/16", "192.168.0.2"));
  CHECK(!answers("--cidr=192.168.7.9/16", "10.0.2.2"));
  CHECK(answers("", "fe80::2") && answers("", "fd00::3") && !answers("", "fe80::1"));
  CHECK(read("pasta --config-net --netns /run/netns/n").answers_for(*Address::parse("192.0.2.1")));
}

TEST(fallback_slirp4netns_source) {
  const auto options =
      read("slirp4netns -6 --outbound-addr=192.0.2.7 --outbound-addr6 2001:db8::7 1 tap0");
  CHECK_EQ(options.v4.obstacle + options.v6.obstacle, "");
  CHECK_EQ(options.v4.source->text(), "192.0.2.7");
  CHECK_EQ(options.v6.source->text(), "2001:db8::7");
  // Exact, though "--outbound-addr6" begins with it; its abbreviation means two.
  CHECK_EQ(slirp("--outbound-addr eth0"), both("slirp4netns's option --outbound-addr eth0, a "
                                               "value that is not understood"));
  CHECK_EQ(slirp("--outbound 192.0.2.7"),
           both("the command line of slirp4netns has an abbreviation of several options: "
                "--outbound"));
  CHECK_EQ(slirp("--outbound-addr6 192.0.2.7"),
           both("slirp4netns's option --outbound-addr6 192.0.2.7, a value that is not "
                "understood"));
  CHECK_EQ(slirp("--outbound-addr 2001:db8::7"),
           both("slirp4netns's option --outbound-addr 2001:db8::7, a value that is not "
                "understood"));
}

TEST(fallback_command_line_words) {
  using namespace std::string_literals;
  CHECK_EQ(split_command_line("").size(), 0U);
  CHECK_EQ(split_command_line("pasta\0-4"s).size(), 0U);  // cut off
  const auto words = split_command_line("pasta\0\0-4\0"s);
  CHECK_EQ(words.size(), 3U);
  CHECK_EQ(words[1], "");
  CHECK_EQ(words[2], "-4");
}

TEST(fallback_no_option_is_classified_twice) {
  for (const FallbackKind kind : {FallbackKind::kPasta, FallbackKind::kSlirp4netns}) {
    const auto options = known_options(kind);
    CHECK_EQ(std::set<std::string>(options.begin(), options.end()).size(), options.size());
  }
}

TEST(fallback_a_search_in_parts_sees_each_process_once) {
  CHECK(find_fallback_programs().is_whole());
  int parts = 0;
  int covering = 0;
  FallbackSearch part = find_fallback_programs(nullptr, 0, 3);
  for (;; part = find_fallback_programs(nullptr, *part.left_at, 3)) {
    ++parts;
    CHECK(!part.is_whole());
    covering += part.covers(::getpid());
    if (!part.left_at) break;
    CHECK(*part.left_at > part.after);
  }
  CHECK(parts > 1);
  CHECK_EQ(covering, 1);
}

}  // namespace
