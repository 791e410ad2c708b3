/** Imports point one way, as the READMEs' tables of folders say (structure.ts has the grammar of these tables). */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import {
  circlesIn,
  cppIncludes,
  type Imports,
  problemsOf,
  type Reader,
  readImports,
  readOrder,
  typescriptImports,
} from './structure.js';

/** Folder, whose README.md has the order; endings of the files that are read; how. */
const PARTS: readonly (readonly [string, readonly string[], Reader])[] = [
  ['src', ['.ts'], typescriptImports],
  ['native', ['.h', '.cc'], cppIncludes],
];

describe.each(PARTS)('%s', (folder, endings, reader) => {
  const root = fileURLToPath(new URL(`../../${folder}`, import.meta.url));
  const imports = readImports(root, endings, reader);

  test('imports point one way', () => {
    const order = readOrder(readFileSync(`${root}/README.md`, 'utf8'));
    expect(imports.size).toBeGreaterThan(order.length);
    expect(problemsOf(imports, order)).toEqual([]);
  });

  test('no files import each other in a circle', () => {
    expect(circlesIn(imports)).toEqual([]);
  });
});

const TABLE = `
| folder | what it is | includes |
| --- | --- | --- |
| \`base/\` | ground | nothing |
| \`kernel/\` | calls | \`base/\` |
| \`path/\` | the way | all above |
| \`path/deep/\` | below it | \`path/\`, \`kernel/netlink.h\` |
| \`*.cc\` | the top | all above |

Text | with | a line
`;

/** What is wrong with one line in one file of a tree that is right otherwise. */
function wrong(path: string, line: string, table = TABLE): string[] {
  const texts: Record<string, string> = {
    'base/fd.h': '#include <unistd.h>\n',
    'kernel/netlink.h': '#pragma once\n  #  include "base/fd.h"\n',
    'kernel/calls.h': '#include "base/fd.h"\n#include "netlink.h"\n',
    'path/way.h': '#include "kernel/netlink.h"\n#include "base/fd.h"\n',
    'path/deep/hop.h': '#include "path/way.h"\n#include "kernel/netlink.h"\n',
    'main.cc': '#include "path/deep/hop.h"\n',
  };
  texts[path] = `${texts[path] ?? ''}${line}\n`;
  const imports: Imports = new Map(
    Object.entries(texts).map(([name, text]) => [
      name,
      cppIncludes(name, text, (other) => other in texts),
    ]),
  );
  return [...problemsOf(imports, readOrder(table)), ...circlesIn(imports)];
}

test('a tree that is right', () => {
  expect(wrong('base/fd.h', '')).toEqual([]);
});

test.each([
  ['up', 'base/fd.h', 'kernel/calls.h', 'base/fd.h may not import kernel/calls.h'],
  ['up, past a list', 'kernel/calls.h', 'path/way.h', 'kernel/calls.h may not import path/way.h'],
  ['up into a folder inside', 'path/way.h', 'path/deep/hop.h', 'path/way.h may not import path/'],
  ['down, but not listed', 'path/deep/hop.h', 'base/fd.h', 'hop.h may not import base/fd.h'],
  ['another file of a folder', 'path/deep/hop.h', 'kernel/calls.h', 'hop.h may not import kernel/'],
  [
    'a circle',
    'kernel/netlink.h',
    'calls.h',
    'kernel/netlink.h -> kernel/calls.h -> kernel/netlink.h',
  ],
])('%s', (_, path, target, problem) => {
  expect(wrong(path, `#include "${target}"`).join('\n')).toContain(problem);
});

test('a file that no row has', () => {
  expect(wrong('new/idea.h', '')).toEqual(['new/idea.h is in no folder of the order']);
});

test('a table that turns the arrow itself', () => {
  const table = TABLE.replace('| ground | nothing |', '| ground | `kernel/`, `gone/` |');
  expect(wrong('base/fd.h', '', table)).toEqual([
    'the order lets base/ use kernel/, which stands below it',
    'the order lets base/ use gone/, which is not there',
  ]);
  const vague = TABLE.replace('all above', 'most of them');
  expect(() => readOrder(vague)).toThrow(/says most of them/);
  expect(() => readOrder('no table')).toThrow(/no table/);
});

test('TypeScript: every form of an import counts', () => {
  const text = `import type { A } from './a.js';
    export { b } from '../b.js';
    import { join } from 'node:path';
    /* import './no.js' */
    const c = await import('./c.js');`;
  const targets = typescriptImports('x/y.ts', text, () => true);
  expect(targets.sort()).toEqual(['b.ts', 'x/a.ts', 'x/c.ts']);
  expect(() => typescriptImports('x/y.ts', text, () => false)).toThrow(/leads to no file/);
});
