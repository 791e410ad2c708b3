/** Man pages and completion say what the command line knows, and their formats hold. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { completion } from '../../../src/manual/completion.js';
import { manPages } from '../../../src/manual/man.js';
import { createProgram } from '../../../src/program.js';

const VERBS = createProgram().commands.map((command) => command.name());

describe('man pages', () => {
  const pages = manPages(createProgram());

  test('there is one for the command and one for each verb', () => {
    expect(pages.map(({ file }) => file).sort()).toEqual(
      ['sockswitch.1', ...VERBS.map((verb) => `sockswitch-${verb}.1`)].sort(),
    );
  });

  test('package.json names all of them, so that npm installs them', () => {
    const text = readFileSync(new URL('../../../package.json', import.meta.url), 'utf8');
    const { man } = z.object({ man: z.array(z.string()) }).parse(JSON.parse(text));
    expect(man.sort()).toEqual(pages.map(({ file }) => `./dist/man/${file}`).sort());
  });

  test('each has its options, exit status and examples', () => {
    const stop = pages.find(({ file }) => file === 'sockswitch-stop.1')?.text ?? '';
    expect(stop).toMatch(/^\.TH SOCKSWITCH\\-STOP 1 /);
    expect(stop).toContain('.B \\-\\-force\n');
    expect(stop).toContain('.SH EXIT STATUS\n');
    expect(stop).toContain('.SH EXAMPLES\n.nf\n  sockswitch stop\n');
    for (const { text } of pages) expect(text).not.toMatch(/^\.(?!TH|SH|TP|B|nf|fi)/m);
  });
});

describe('completion in bash', () => {
  /** What is offered for a command line whose last word is being typed. */
  function offers(...words: string[]): string[] {
    const script = `${completion(createProgram(), 'bash')}
podman() { echo web; echo db; }
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
_sockswitch
printf '%s\\n' "\${COMPREPLY[@]}"`;
    const output = execFileSync('bash', ['-c', script, 'bash', 'sockswitch', ...words], {
      encoding: 'utf8',
    });
    return output.split('\n').filter((word) => word !== '');
  }

  test('verbs', () => {
    expect(offers('').sort()).toEqual([...VERBS, 'help', '--help', '--version'].sort());
    expect(offers('s').sort()).toEqual(VERBS.filter((verb) => verb.startsWith('s')).sort());
  });

  test('options of a verb, and their values', () => {
    expect(offers('stop', '--')).toEqual(['--force', '--help']);
    expect(offers('daemon', '--log-format', '')).toEqual(['auto', 'json', 'text']);
    expect(offers('completion', '')).toEqual(['bash', 'zsh', 'fish']);
    expect(offers('with', '--pods', '')).toEqual(['none', 'egress']);
  });

  test('names of containers', () => {
    expect(offers('explain', 'w')).toEqual(['web']);
    expect(offers('sockets', '')).toEqual(['web', 'db']);
  });
});

test('fish and zsh have every verb', () => {
  for (const shell of ['fish', 'zsh'] as const) {
    for (const verb of VERBS) expect(completion(createProgram(), shell)).toContain(verb);
  }
});
