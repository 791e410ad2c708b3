/** What the command line must know of `sockswitch with` before the verb is used. */
/** Exit statuses of programs that start others (env(1)): what is not the command's own. */
export const CANNOT = { start: 125, execute: 126, find: 127 } as const;

export const PRESETS = ['kubernetes'] as const;
export const FIREWALL = ['respect', 'ignore'] as const;
export const NAMES = ['container', 'host'] as const;
