/** The names of our annotations, apart from what reads them, which loads more than a short command should. */

/** Every annotation under `sockswitch/`; docs/annotations.md says what each means. */
export const OUR_ANNOTATIONS = [
  'sockswitch/enable',
  'sockswitch/firewall',
  'sockswitch/ignore',
  'sockswitch/names',
  'sockswitch/pods',
  'sockswitch/publish',
  'sockswitch/required',
  'sockswitch/tunnels',
] as const;

/** Most entries of an ignore list. */
export const MAX_IGNORED = 1024;
