/**
 * Man pages, made from the definitions of the command line: what `--help` says, in the form of man(7).
 *
 * One page for the command and one for each verb. The texts behind the options ("Exit status:", "Examples:") become
 * sections as they stand.
 */
import type { Command } from 'commander';
import { version } from '../base/version.js';

export interface ManPage {
  /** "sockswitch-ps.1" */
  readonly file: string;
  readonly text: string;
}

export function manPages(program: Command): ManPage[] {
  const others = program.commands.map((command) => `sockswitch-${command.name()}`);
  const pages = program.commands.map((command) =>
    page(command, `sockswitch-${command.name()}`, command.summary(), ['sockswitch']),
  );
  return [
    page(program, 'sockswitch', 'host-speed networking for rootless Podman', others),
    ...pages,
  ];
}

function page(command: Command, name: string, summary: string, others: readonly string[]): ManPage {
  const help = command.createHelp();
  const lines = [
    `.TH ${name.toUpperCase().replaceAll('-', '\\-')} 1 "" "sockswitch ${version()}" "User Commands"`,
    ...section('NAME', [`${roff(name)} \\- ${roff(summary)}`]),
    ...section('SYNOPSIS', [`.B ${roff(help.commandUsage(command))}`]),
    ...section('DESCRIPTION', literal(help.commandDescription(command))),
    ...list('COMMANDS', help.visibleCommands(command), (one) => [
      help.subcommandTerm(one),
      help.subcommandDescription(one),
    ]),
    ...list('ARGUMENTS', help.visibleArguments(command), (one) => [
      help.argumentTerm(one),
      help.argumentDescription(one),
    ]),
    ...list('OPTIONS', help.visibleOptions(command), (one) => [
      help.optionTerm(one),
      help.optionDescription(one),
    ]),
    ...textBehind(command).flatMap(([title, body]) => section(title, literal(body))),
    ...section('SEE ALSO', [others.map((other) => `${roff(other)}(1)`).join(', ')]),
  ];
  return { file: `${name}.1`, text: `${lines.join('\n')}\n` };
}

function section(title: string, lines: readonly string[]): string[] {
  return [`.SH ${title}`, ...lines];
}

function list<T>(
  title: string,
  items: readonly T[],
  describe: (item: T) => readonly [string, string],
): string[] {
  if (items.length === 0) return [];
  const entries = items.flatMap((item) => {
    const [term, text] = describe(item);
    return ['.TP', `.B ${roff(term)}`, roff(text)];
  });
  return section(title, entries);
}

/** What addHelpText put behind the help: `Title:` and what stands indented below it, or text without a title. */
function textBehind(command: Command): [string, string][] {
  let whole = '';
  command.configureOutput({ writeOut: (text) => (whole += text) });
  command.outputHelp();
  const behind = whole.slice(command.helpInformation().length);
  const sections: [string, string[]][] = [];
  for (const line of behind.split('\n')) {
    const title = /^([A-Z][A-Za-z ]+):$/.exec(line)?.[1];
    if (title !== undefined) sections.push([title.toUpperCase(), []]);
    else if (sections.length === 0) sections.push(['NOTES', [line]]);
    else sections.at(-1)?.[1].push(line);
  }
  return sections
    .map(([title, lines]): [string, string] => [title, lines.join('\n').replace(/^\n+|\s+$/g, '')])
    .filter(([, body]) => body !== '');
}

/** Lines as they are, in a fixed layout. */
function literal(text: string): string[] {
  return ['.nf', ...text.split('\n').map(roff), '.fi'];
}

/** Text without a meaning to roff. */
function roff(text: string): string {
  const escaped = text.replaceAll('\\', '\\e').replaceAll('-', '\\-');
  return /^[.']/.test(escaped) ? `\\&${escaped}` : escaped;
}
