// The classes of a zero-shot test, as a user writes them: what `prepare.classes` of a recipe names.
import * as z from 'zod';

export const ClassFile = z
  .looseObject({
    classes: z
      .array(
        z
          .looseObject({
            index: z.int().nonnegative().describe('Number of the class, as the class images name it.'),
            name: z.string().min(1).describe('What stands for {} in a prompt template.'),
            wnid: z
              .string()
              .optional()
              .describe("WordNet id of an ImageNet class: finds the class's row in the backbone's classifier."),
            row: z
              .int()
              .nonnegative()
              .optional()
              .describe("Row of the class in the backbone's classifier, where that is not one of ImageNet's."),
          })
          .meta({ title: 'ImageClass', description: 'One class.' }),
      )
      .describe('The classes, in any order. Further keys of the file are kept and not read.'),
  })
  .meta({ title: 'ClassFile', description: 'Names of the classes of a zero-shot test.' });
export type ClassFile = z.infer<typeof ClassFile>;
