"""What `clip` learns from boxes in pictures and the phrases that describe them: FG-CLIP's terms (2505.05071, 2510.10921).

A region's unit vector r is what the image head makes of the mean of the tower's last grid over its box (`ImageTower.forward_regions`),
a phrase's p what the text tower makes of it; s is a scale of their own. Both papers have three terms on R regions:

- contrast: the mean over i of -log exp(s r_i p_i) / sum_j exp(s r_i p_j) and of the same from phrases to regions, halved;
- negatives: -log exp(s r_i p_i) / (exp(s r_i p_i) + sum_h exp(s r_i w_ih)) against the wrong texts w of a phrase, and FG-CLIP 2's
  margin, as of captions (`losses.fine_grained.hard_negatives`);
- text contrast, FG-CLIP 2 alone: phrases are held apart from the nearest other ones (`losses.fine_grained.text_contrast`).

Otherwise than theirs: R are the regions of all ranks and not of each, equal phrases are not each other's negatives, one scale serves
both terms, and the grid is that of the last block as it is (FG-CLIP computes that block anew without attention, FG-CLIP 2 has
another pooling head).

Shapes: R regions of this rank, W wrong texts of all of them, H of one at most, E dimensions.
"""

from collections.abc import Callable

import numpy as np
import torch

from contracts.types import RegionTerms
from engine.world import World
from losses.contrastive import global_info_nce
from losses.fine_grained import PUBLISHED, FineGrained, hard_negatives, next_margin, text_contrast
from losses.keys import Keys, text_keys
from losses.ranks import Ranks
from tasks.clip_data.batch import Seen
from towers.regions.seen import Regions

Parts = dict[str, torch.Tensor]
Vectors = tuple[torch.Tensor, torch.Tensor]  # unit vectors of this rank's regions and of their phrases [R, E]


class RegionObjective:
    """The weighted sum of the terms, over the regions of all ranks. `text`: unit vectors of what the text tower reads."""

    def __init__(
        self,
        config: RegionTerms,
        world: World,
        text: Callable[[torch.Tensor], torch.Tensor],
        fine: FineGrained = PUBLISHED,
    ) -> None:
        self.fine, self.world, self.text = fine, world, text
        self.margin = torch.zeros((), device=world.device)  # of negatives: how far apart they were at the last step
        self.weights = {
            "regions": config["weight"],
            "region_negatives": config["negatives_weight"],
            "region_text_contrast": config["text_contrast_weight"],
        }

    def texts(self, seen: Seen, numbers: np.ndarray, like: torch.Tensor) -> torch.Tensor:
        """Vectors of texts of regions by number; of none, no rows of `like`.

        They have a gradient all the same: a rank that has none takes part in that of the others' phrases.
        """
        return self.text(seen.region_inputs(numbers)) if len(numbers) else like[:0]

    def terms(self, seen: Seen, own: Vectors, scale: torch.Tensor) -> tuple[torch.Tensor, Parts]:
        """(weighted sum, its parts by name), the same on every rank; the gradient is that of what this rank brought.

        They are nought in a step in which no rank has a region.
        """
        regions, ranks, (region_RE, phrase_RE) = seen.regions(), Ranks(even=False), own
        assert regions is not None
        device, nothing = region_RE.device, region_RE.new_zeros(())
        counts = ranks.counts(len(region_RE), device)
        keys = Keys.of(text_keys([regions.texts[number] for number in regions.firsts], device))
        losses = {
            "regions": lambda: global_info_nce(region_RE, phrase_RE, scale, keys, ranks=ranks),
            "region_negatives": lambda: self.against_wrong_texts(seen, regions, own, scale),
            "region_text_contrast": lambda: text_contrast(self.world.joined(phrase_RE, counts), self.fine),
        }
        parts = {name: loss() if sum(counts) else nothing for name, loss in losses.items() if self.weights[name] > 0}
        return sum((self.weights[name] * part for name, part in parts.items()), nothing), parts

    def against_wrong_texts(self, seen: Seen, regions: Regions, own: Vectors, scale: torch.Tensor) -> torch.Tensor:
        """The mean over regions whose phrases have wrong texts, of all ranks; takes the margin of the next step along."""
        (region_RE, phrase_RE), ranks = own, Ranks()
        numbers, is_there_RH = regions.wrong()
        is_there_RH = is_there_RH.to(region_RE.device)
        wrong_WE = self.texts(seen, numbers, region_RE)
        right_R = scale * (region_RE * phrase_RE).sum(1)
        wrong_W = scale * (region_RE[is_there_RH.nonzero()[:, 0]] * wrong_WE).sum(1)
        wrong_RH = right_R.new_zeros(is_there_RH.shape).masked_scatter(is_there_RH, wrong_W)
        loss, sums_4 = hard_negatives(right_R, wrong_RH, is_there_RH, self.margin, self.fine)
        sums_4 = ranks.add(sums_4)
        self.margin = next_margin(sums_4, self.fine)
        return ranks.total(loss) / sums_4[2].clamp_min(1)
