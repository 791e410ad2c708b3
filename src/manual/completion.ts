/**
 * Completion scripts for shells, made from the definitions of the command line.
 *
 * A script knows the verbs, each verb's options and the values that an option or argument may have; the names of
 * containers it asks Podman for when they are wanted.
 */
import type { Command } from 'commander';

export const SHELLS = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof SHELLS)[number];

const CONTAINERS = "podman ps --format '{{.Names}}' 2>/dev/null";

/** What is offered for options that take other values, too, which is why commander does not know these. */
const HINTS: Readonly<Record<string, readonly string[]>> = { '--pods': ['none', 'egress'] };

interface Verb {
  readonly name: string;
  readonly summary: string;
  readonly options: readonly CompletedOption[];
  /** Values of the first argument. */
  readonly values: readonly string[];
  readonly takesContainer: boolean;
}

interface CompletedOption {
  readonly flags: readonly string[];
  readonly description: string;
  readonly values: readonly string[];
}

export function completion(program: Command, shell: Shell): string {
  const verbs = verbsOf(program);
  switch (shell) {
    case 'bash':
      return bash(verbs);
    case 'zsh':
      return `autoload -U +X bashcompinit && bashcompinit\n${bash(verbs)}`;
    case 'fish':
      return fish(verbs);
  }
}

function verbsOf(program: Command): Verb[] {
  const help = program.createHelp();
  return help.visibleCommands(program).map((command) => {
    const [argument] = command.registeredArguments;
    return {
      name: command.name(),
      summary: help.subcommandDescription(command),
      takesContainer: argument?.name() === 'container',
      values:
        command.name() === 'help'
          ? program.commands.map((other) => other.name())
          : (argument?.argChoices ?? []),
      options: help.visibleOptions(command).map((option) => ({
        flags: [option.short, option.long].filter((flag) => flag !== undefined && flag !== null),
        description: option.description,
        values: option.argChoices ?? HINTS[option.long ?? ''] ?? [],
      })),
    };
  });
}

function bash(verbs: readonly Verb[]): string {
  const words = (list: readonly string[]) => `'${list.join(' ')}'`;
  const cases = verbs.flatMap(({ name, options, values, takesContainer }) => [
    `    ${name})`,
    ...options
      .filter((option) => option.values.length > 0)
      .map(
        (option) =>
          `      case $previous in ${option.flags.join(' | ')}) words=${words(option.values)} && _sockswitch_offer; return ;; esac`,
      ),
    `      case $current in -*) words=${words(options.flatMap(({ flags }) => flags))} ;; *) words=${
      takesContainer ? `$(${CONTAINERS})` : words(values)
    } ;; esac`,
    '      ;;',
  ]);
  return [
    '_sockswitch_offer() {',
    '  local line',
    '  COMPREPLY=()',
    '  while IFS= read -r line; do COMPREPLY+=("$line"); done < <(compgen -W "$words" -- "$current")',
    '}',
    '_sockswitch() {',
    `  local current=\${COMP_WORDS[COMP_CWORD]} previous=\${COMP_WORDS[COMP_CWORD - 1]} words=`,
    '  if [ "$COMP_CWORD" -eq 1 ]; then',
    `    words=${words([...verbs.map(({ name }) => name), '--help', '--version'])}`,
    `  else case \${COMP_WORDS[1]} in`,
    ...cases,
    '  esac; fi',
    '  _sockswitch_offer',
    '}',
    'complete -F _sockswitch sockswitch',
  ].join('\n');
}

function fish(verbs: readonly Verb[]): string {
  const quoted = (text: string) => `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
  const lines = verbs.flatMap(({ name, summary, options, values, takesContainer }) => {
    const within = `complete -c sockswitch -n '__fish_seen_subcommand_from ${name}'`;
    return [
      `complete -c sockswitch -n __fish_use_subcommand -a ${name} -d ${quoted(summary)}`,
      ...(takesContainer ? [`${within} -a ${quoted(`(${CONTAINERS})`)}`] : []),
      ...(values.length > 0 ? [`${within} -a ${quoted(values.join(' '))}`] : []),
      ...options.map(({ flags, description, values: choices }) =>
        [
          within,
          ...flags.map((flag) =>
            flag.startsWith('--') ? `-l ${flag.slice(2)}` : `-s ${flag.slice(1)}`,
          ),
          ...(choices.length > 0 ? [`-x -a ${quoted(choices.join(' '))}`] : []),
          `-d ${quoted(description)}`,
        ].join(' '),
      ),
    ];
  });
  return ['complete -c sockswitch -f', ...lines].join('\n');
}
