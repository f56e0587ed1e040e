"""What can go wrong with an S3 bucket."""


class BucketUnusable(OSError):
    """What was asked of a bucket was not done; the message is one sentence for the operator.

    An `OSError`, as a disk's: who keeps things in either is told alike. `is_of_one`: one of the
    objects that were named, the others were seen to.
    """

    def __init__(self, sentence: str, *, is_of_one: bool = False) -> None:
        super().__init__(sentence)
        self.is_of_one = is_of_one
