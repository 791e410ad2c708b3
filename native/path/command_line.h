// A command line as getopt_long(3) reads it, cut into options and operands. Where two readings are
// possible (between versions of a program, between C libraries), there is none: a problem instead.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace sockswitch {

struct OptionName {
  char letter = 0;        // 0: has no short form
  std::string_view name;  // without dashes; empty: has no long form
  bool takes_value = false;
};

struct GivenOption {
  std::size_t index = 0;  // in the table of names
  std::string written;    // for people: "--mtu", "-m", or the abbreviation that was used
  std::string value;
};

struct CommandLine {
  std::vector<GivenOption> options;   // in order, with repetitions
  std::vector<std::string> operands;  // what is no option and no option's value
  std::string problem;                // "an unknown option: --frobnicate"; empty: it was read whole
};

// `words` without the program's name. Accepted: "--name value", "--name=value", an abbreviation
// that only one name begins with, "-n value", "-nvalue", "-abc", and "--" in front of operands.
// Problems: an unknown or ambiguous option, a value where none belongs, a missing one, a value of
// its own word that begins with a dash (older versions of pasta take none after some options), and
// an option behind an operand (which getopt_long may take for either).
CommandLine read_command_line(std::span<const OptionName> names,
                              std::span<const std::string> words);

}  // namespace sockswitch
