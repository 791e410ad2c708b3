#include "path/known_bits.h"

#include <algorithm>

namespace sockswitch {

void KnownBits::forget() const {
  std::ranges::fill(data, std::uint8_t{0});
  std::ranges::fill(known, std::uint8_t{0});
}

void KnownBits::set(std::span<const std::uint8_t> value) const {
  const std::size_t size = std::min(value.size(), data.size());
  std::ranges::fill(data, std::uint8_t{0});
  std::ranges::copy(value.first(size), data.begin());
  std::ranges::fill(known, std::uint8_t{0xff});
}

bool KnownBits::all_known() const {
  return std::ranges::all_of(known, [](std::uint8_t bits) { return bits == 0xff; });
}

Tristate equals(std::span<const std::uint8_t> data, std::span<const std::uint8_t> known,
                std::span<const std::uint8_t> other) {
  Tristate result = Tristate::kYes;
  for (std::size_t i = 0; i < data.size(); ++i) {
    if (((data[i] ^ other[i]) & known[i]) != 0) return Tristate::kNo;
    if (known[i] != 0xff) result = Tristate::kPerhaps;
  }
  return result;
}

KnownBits RegisterFile::at(std::size_t offset, std::size_t length) {
  offset = std::min(offset, kSize);
  length = std::min(length, kSize - offset);
  return {std::span(data_).subspan(offset, length), std::span(known_).subspan(offset, length)};
}

}  // namespace sockswitch
