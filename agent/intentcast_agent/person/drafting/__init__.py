"""Drafting: what somebody wants, in their words, becomes slots to look over and then a draft. DESIGN §6"""
