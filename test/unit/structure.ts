/**
 * Who may import whom, read from the table of folders in a README, and checked against what the files import.
 *
 * The table is the one place where the order is written. It goes from the ground up: its first column names a folder
 * (`base/`), or the files beside the folders (`*.ts`); its last column, headed "imports" or "includes", says what files
 * of that folder may import besides each other:
 *
 *   all above             every folder of the rows above
 *   nothing
 *   `base/`, `a/b.h`      these folders and files, which stand in rows above
 *
 * A list that names a row below it is a mistake in the table, so what passes has no arrow that runs up.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import ts from 'typescript';

/** Files by their path below the root, with the files that each imports. */
export type Imports = ReadonlyMap<string, readonly string[]>;

/** What one language's files import of their own tree; paths below the root. */
export type Reader = (path: string, text: string, isFile: (path: string) => boolean) => string[];

interface Row {
  /** "daemon/observe"; "" for the files beside the folders. */
  readonly folder: string;
  /** Folders end in a slash. Undefined: all above. */
  readonly list: readonly string[] | undefined;
}

const LIST = /`([^`]+)`/g;

/** Throws Error where there is no such table, or a cell of it is not understood. */
export function readOrder(readme: string): Row[] {
  const lines = readme.split('\n');
  const head = lines.findIndex((line) => /^\|.*\|\s*(imports|includes)\s*\|$/.test(line));
  if (head < 0) throw new Error('no table has a last column "imports" or "includes"');
  const rows: Row[] = [];
  for (const line of lines.slice(head + 2)) {
    if (!line.startsWith('|')) break;
    const cells = line.split('|').slice(1, -1);
    const [name] = named(cells[0] ?? '');
    if (name === undefined) throw new Error(`the row ${line} names no folder`);
    rows.push({
      folder: name.startsWith('*') ? '' : name.replace(/\/$/, ''),
      list: listIn(cells.at(-1) ?? ''),
    });
  }
  return rows;
}

function listIn(cell: string): string[] | undefined {
  const text = cell.trim();
  if (text === 'all above') return undefined;
  const list = named(text);
  if (text !== 'nothing' && text.replace(LIST, '').replaceAll(',', '').trim() !== '') {
    throw new Error(`a cell says ${text}: write "all above", "nothing", or names in backquotes`);
  }
  return list;
}

function named(text: string): string[] {
  return [...text.matchAll(LIST)].map(([, name = '']) => name);
}

/** Every import that the order does not allow, every file that it does not know, and its own mistakes. */
export function problemsOf(imports: Imports, order: readonly Row[]): string[] {
  const place = new Map(order.map(({ folder }, index) => [folder, index]));
  const folderOf = (path: string): string | undefined => {
    for (let folder = dirname(path); folder !== '.'; folder = dirname(folder)) {
      if (place.has(folder)) return folder;
    }
    return place.has('') && !path.includes('/') ? '' : undefined;
  };
  const placeOf = (path: string): number => place.get(folderOf(path) ?? '?') ?? Infinity;
  const problems: string[] = [];
  for (const [index, { folder, list = [] }] of order.entries()) {
    for (const name of list) {
      const there = name.endsWith('/')
        ? place.get(name.slice(0, -1))
        : imports.has(name) && placeOf(name);
      if (typeof there !== 'number')
        problems.push(`the order lets ${folder}/ use ${name}, which is not there`);
      else if (there >= index)
        problems.push(`the order lets ${folder}/ use ${name}, which stands below it`);
    }
  }
  for (const [path, targets] of imports) {
    const row = order[placeOf(path)];
    if (row === undefined) problems.push(`${path} is in no folder of the order`);
    for (const target of targets) {
      const folder = folderOf(target);
      if (row === undefined || folder === row.folder) continue;
      const allowed =
        row.list === undefined
          ? placeOf(target) < placeOf(path)
          : row.list.includes(target) || row.list.includes(`${folder}/`);
      if (!allowed) problems.push(`${path} may not import ${target}`);
    }
  }
  return problems;
}

/** Files that import each other in a circle, as "a -> b -> a"; each circle that a walk meets, once. */
export function circlesIn(imports: Imports): string[] {
  const circles: string[] = [];
  const done = new Set<string>();
  const walk = (path: string, way: readonly string[]): void => {
    const start = way.indexOf(path);
    if (start >= 0) circles.push([...way.slice(start), path].join(' -> '));
    if (start >= 0 || done.has(path)) return;
    for (const target of imports.get(path) ?? []) walk(target, [...way, path]);
    done.add(path);
  };
  for (const path of imports.keys()) walk(path, []);
  return circles;
}

/** All files below `root` whose name ends in one of `endings`. Throws Error for an import that leads to no file. */
export function readImports(root: string, endings: readonly string[], reader: Reader): Imports {
  const paths = readdirSync(root, { recursive: true, encoding: 'utf8' })
    .filter((path) => endings.some((ending) => path.endsWith(ending)))
    .sort();
  const known = new Set(paths);
  return new Map(
    paths.map((path) => [
      path,
      reader(path, readFileSync(join(root, path), 'utf8'), (other) => known.has(other)),
    ]),
  );
}

/** TypeScript: static, dynamic and type-only imports with a relative path. */
export const typescriptImports: Reader = (path, text, isFile) =>
  ts.preProcessFile(text, true, true).importedFiles.flatMap(({ fileName }) => {
    if (!/^\..*\.[jt]s$/.test(fileName)) return []; // a package, or the addon
    const target = normalize(join(dirname(path), fileName)).replace(/\.js$/, '.ts');
    if (!isFile(target)) throw new Error(`${path} imports ${fileName}, which leads to no file`);
    return [target];
  });

/** C++: `#include "..."`, below the root or beside the file. */
export const cppIncludes: Reader = (path, text, isFile) =>
  [...text.matchAll(/^[ \t]*#[ \t]*include[ \t]*"([^"]+)"/gm)].map(([, name = '']) => {
    const target = [name, normalize(join(dirname(path), name))].find(isFile);
    if (target === undefined) throw new Error(`${path} includes "${name}", which leads to no file`);
    return target;
  });
