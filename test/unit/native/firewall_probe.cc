// Prints what path/firewall.h says about packets in the namespace that it is started in.
//
//   firewall-probe [--in NAME] [--out NAME] [--source ADDRESS] [--udp] DESTINATION PORT ...
//
// One line of JSON for each destination. Built with the tests only; test/kernel/firewall.test.ts
// starts it.
#include <net/if.h>

#include <chrono>
#include <cstdlib>
#include <iostream>
#include <string>
#include <vector>

#include "path/firewall.h"

namespace {

using namespace sockswitch;  // NOLINT(google-build-using-namespace): a test of this namespace

std::string quoted(const std::string& text) {
  std::string literal = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') literal += '\\';
    literal += c;
  }
  return literal + "\"";
}

PacketDevice device(const std::string& name) {
  return {.index = static_cast<int>(::if_nametoindex(name.c_str())), .name = name};
}

const char* name_of(Forwarded::Verdict verdict) {
  switch (verdict) {
    case Forwarded::Verdict::kPasses:
      return "passes";
    case Forwarded::Verdict::kBlocked:
      return "blocked";
    case Forwarded::Verdict::kForeign:
      return "foreign";
    case Forwarded::Verdict::kUnknown:
      break;
  }
  return "unknown";
}

std::string service_addresses(const Firewall& firewall) {
  std::string list;
  for (const Address& address : firewall.service_addresses()) {
    list += (list.empty() ? "" : ",") + quoted(address.text());
  }
  return "[" + list + "]";
}

int run(const std::vector<std::string>& words) {
  PacketFacts packet;
  std::size_t i = 0;
  for (; i < words.size() && words[i].starts_with("--"); ++i) {
    if (words[i] == "--udp") {
      packet.protocol = IPPROTO_UDP;
      continue;
    }
    if (i + 1 == words.size()) return 2;
    const std::string& option = words[i];
    const std::string& value = words[++i];
    if (option == "--in") packet.in = device(value);
    if (option == "--out") packet.out = device(value);
    if (option == "--source") packet.source = Address::parse(value);
  }
  FirewallSockets opened = open_firewall_sockets();
  std::vector<UniqueFd> copies;
  for (int fd : opened.fds()) copies.emplace_back(::dup(fd));
  FirewallSockets sockets = FirewallSockets::take(opened.states(), std::move(copies));
  if (open_firewall_monitors().empty()) return 1;
  const auto start = std::chrono::steady_clock::now();
  const Firewall firewall = Firewall::read(sockets);
  const auto read = std::chrono::steady_clock::now() - start;
  for (; i + 1 < words.size(); i += 2) {
    const auto destination = Address::parse(words[i]);
    if (!destination) return 2;
    packet.destination.address = *destination;
    packet.destination.port = static_cast<std::uint16_t>(std::stoi(words[i + 1]));
    const auto asked = std::chrono::steady_clock::now();
    const auto obstacle = firewall.obstacle(packet);
    const bool translate = firewall.may_translate(packet);
    const Forwarded forwarded = firewall.forwarded(packet);
    const auto answered = std::chrono::steady_clock::now() - asked;
    auto us = [](auto time) {
      return std::chrono::duration_cast<std::chrono::microseconds>(time).count();
    };
    std::cout << "{\"obstacle\":" << (obstacle ? quoted(*obstacle) : "null")
              << ",\"translate\":" << (translate ? "true" : "false")
              << ",\"forwarded\":" << quoted(name_of(forwarded.verdict))
              << ",\"words\":" << quoted(forwarded.words)
              << ",\"services\":" << service_addresses(firewall) << ",\"readUs\":" << us(read)
              << ",\"askUs\":" << us(answered) << "}\n";
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run({argv + 1, argv + argc});
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
}
