// What the person at the keyboard did wrong.

/** Printed without a stack. */
export class Complaint extends Error {}
