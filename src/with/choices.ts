/** What the command line must know of `sockswitch with` before the verb is used. */
import { OUR_ANNOTATIONS } from '../oci/annotation-names.js';

/** Exit statuses of programs that start others (env(1)): what is not the command's own. */
export const CANNOT = { start: 125, execute: 126, find: 127 } as const;

export const PRESETS = ['kubernetes'] as const;
export const FIREWALL = ['respect', 'ignore'] as const;

/** Whether this version has an annotation of this name. */
export function knows(name: string): boolean {
  return OUR_ANNOTATIONS.some((known) => known === name);
}
