// Three truth values, and values of which some bits are known: the registers of
// path/filter_evaluation.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace sockswitch {

enum class Tristate : std::uint8_t { kNo, kPerhaps, kYes };

inline Tristate tristate(bool value) { return value ? Tristate::kYes : Tristate::kNo; }
inline Tristate operator!(Tristate value) {
  if (value == Tristate::kPerhaps) return value;
  return tristate(value == Tristate::kNo);
}
inline Tristate operator&(Tristate left, Tristate right) { return left < right ? left : right; }
inline Tristate operator|(Tristate left, Tristate right) { return left < right ? right : left; }

// `known` has a bit for each bit of `data`; where it is 0, `data` has a 0, too.
struct KnownBits {
  std::span<std::uint8_t> data;
  std::span<std::uint8_t> known;

  std::size_t size() const { return data.size(); }
  void forget() const;
  // Four bytes are written for one of fewer, the rest known zeroes, as the kernel does.
  void set(std::span<const std::uint8_t> value) const;
  bool all_known() const;
};

// Whether the value is `other`, which has the same size.
Tristate equals(std::span<const std::uint8_t> data, std::span<const std::uint8_t> known,
                std::span<const std::uint8_t> other);

// 16 bytes that name nothing, then nftables' four registers of 16 bytes.
class RegisterFile {
 public:
  static constexpr std::size_t kSize = 80;

  // Cut to what there is.
  KnownBits at(std::size_t offset, std::size_t length);
  void forget() {
    data_.fill(0);
    known_.fill(0);
  }

 private:
  std::array<std::uint8_t, kSize> data_{};
  std::array<std::uint8_t, kSize> known_{};
};

}  // namespace sockswitch
