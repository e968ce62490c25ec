"""From a response to estimates with intervals."""

from shiftproof.metrics._estimate import Estimate as Estimate
from shiftproof.metrics._estimate import estimate_share as estimate_share
from shiftproof.metrics._shares import MetricSpec as MetricSpec
from shiftproof.metrics._shares import accuracy_per_image as accuracy_per_image
from shiftproof.metrics._shares import agreement_per_image as agreement_per_image
from shiftproof.metrics._shares import metrics as metrics
from shiftproof.metrics._shares import worst_case_per_image as worst_case_per_image
