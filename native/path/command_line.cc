#include "path/command_line.h"

#include <optional>

namespace sockswitch {
namespace {

class Reader {
 public:
  Reader(std::span<const OptionName> names, std::span<const std::string> words)
      : names_(names), words_(words) {}

  CommandLine read() {
    while (at_ < words_.size() && result_.problem.empty()) {
      const std::string& word = words_[at_++];
      if (word == "--") {
        result_.operands.insert(result_.operands.end(), words_.begin() + offset(), words_.end());
        break;
      }
      if (word.size() < 2 || word.front() != '-') {
        result_.operands.push_back(word);
      } else if (!result_.operands.empty()) {
        result_.problem = "an option behind an operand: " + word;
      } else if (word.starts_with("--")) {
        read_long(word);
      } else {
        read_short(word);
      }
    }
    return std::move(result_);
  }

 private:
  std::ptrdiff_t offset() const { return static_cast<std::ptrdiff_t>(at_); }

  // The value that follows as a word of its own.
  std::optional<std::string> next_value(const std::string& written) {
    if (at_ == words_.size()) {
      result_.problem = "no value after " + written;
      return {};
    }
    const std::string& value = words_[at_++];
    if (value.starts_with('-')) {
      result_.problem = "an option where the value of " + written + " belongs: " + value;
      return {};
    }
    return value;
  }

  // The index of the only name that `text` is or abbreviates.
  std::optional<std::size_t> find_long(std::string_view text) {
    std::optional<std::size_t> found;
    for (std::size_t i = 0; i < names_.size(); ++i) {
      const std::string_view name = names_[i].name;
      if (name.empty() || !name.starts_with(text)) continue;
      if (name.size() == text.size()) return i;
      if (found) {
        result_.problem = "an abbreviation of several options: --" + std::string(text);
      }
      found = i;
    }
    if (!found) result_.problem = "an unknown option: --" + std::string(text);
    return found;
  }

  void read_long(const std::string& word) {
    const auto equals = word.find('=');
    const std::string written = word.substr(0, equals);
    const auto index = find_long(std::string_view(written).substr(2));
    // An exact name wins over what it abbreviates, also over those that stand before it.
    if (index && names_[*index].name.size() == written.size() - 2) result_.problem.clear();
    if (!index || !result_.problem.empty()) return;
    std::string value;
    if (names_[*index].takes_value) {
      auto given = equals == std::string::npos ? next_value(written) : word.substr(equals + 1);
      if (!given) return;
      value = *std::move(given);
    } else if (equals != std::string::npos) {
      result_.problem = "a value where none belongs: " + word;
      return;
    }
    result_.options.push_back({*index, written, std::move(value)});
  }

  void read_short(const std::string& word) {
    for (std::size_t i = 1; i < word.size(); ++i) {
      const std::string written{'-', word[i]};
      std::size_t index = 0;
      while (index < names_.size() &&
             (names_[index].letter == 0 || names_[index].letter != word[i])) {
        ++index;
      }
      if (index == names_.size()) {
        result_.problem = "an unknown option: " + written;
        return;
      }
      if (!names_[index].takes_value) {
        result_.options.push_back({index, written, {}});
        continue;
      }
      auto value = i + 1 < word.size() ? word.substr(i + 1) : next_value(written);
      if (value) result_.options.push_back({index, written, *std::move(value)});
      return;
    }
  }

  std::span<const OptionName> names_;
  std::span<const std::string> words_;
  std::size_t at_ = 0;
  CommandLine result_;
};

}  // namespace

CommandLine read_command_line(std::span<const OptionName> names,
                              std::span<const std::string> words) {
  return Reader(names, words).read();
}

}  // namespace sockswitch
