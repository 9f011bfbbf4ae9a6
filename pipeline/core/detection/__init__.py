"""Detection: what is unusual and what is made of it. Pure, vectorised over segments.

``watch`` applies the rules to evidence; ``incidents`` makes alerts of what they find; ``explain`` names the parts
of a segment and the steps that account for it; ``worth`` the money at stake; ``sentence`` the alert in words.
"""
