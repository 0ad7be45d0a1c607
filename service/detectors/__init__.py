"""What a detector is, in our words. No vendor lives here.

`reading` is what an answer means, `port` what an adapter must offer, `judged` what each answer passes before it counts,
`exchange` how a request leaves and whether it did, `catalogue` which detectors this process has.
"""
