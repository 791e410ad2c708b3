#include "notify/interrupted.h"

#include <algorithm>

namespace sockswitch {
namespace {

// A restart follows within microseconds, if at all.
constexpr std::chrono::seconds kPatience{1};
constexpr std::size_t kMaxKept = 64;

}  // namespace

void Interrupted::keep_result(std::uint64_t host_socket, int result) {
  if (results_.size() >= kMaxKept) results_.pop_front();
  results_.push_back({host_socket, result, Clock::now()});
}

void Interrupted::expire() {
  if (is_empty()) return;
  auto limit = Clock::now() - kPatience;
  while (!results_.empty() && results_.front().since < limit) results_.pop_front();
  while (!lengths_.empty() && lengths_.front().since < limit) lengths_.pop_front();
}

std::optional<int> Interrupted::take_result(std::uint64_t host_socket) {
  for (auto entry = results_.begin(); entry != results_.end(); ++entry) {
    if (entry->host_socket != host_socket) continue;
    int result = entry->result;
    results_.erase(entry);
    return result;
  }
  return {};
}

void Interrupted::keep_length(const NameCall& where, int length) {
  if (lengths_.size() >= kMaxKept) lengths_.pop_front();
  lengths_.push_back({where, length, Clock::now()});
}

std::optional<int> Interrupted::take_length(const NameCall& where) {
  auto entry = std::ranges::find(lengths_, where, &Length::where);
  if (entry == lengths_.end()) return {};
  int length = entry->length;
  lengths_.erase(entry);
  return length;
}

}  // namespace sockswitch
